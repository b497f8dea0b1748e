// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"sync"
	"time"
)

// limiter is a token bucket: burst at once, then one each interval.
type limiter struct {
	burst    int
	interval time.Duration

	mu    sync.Mutex
	taken int       // tokens that are out
	since time.Time // when the oldest of them began to come back
}

// wait is how long until there is a token, 0 if there is one.
func (l *limiter) wait() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	if l.taken < l.burst {
		return 0
	}
	return l.interval - time.Since(l.since)
}

// take uses up a token; there may be none, and the next comes later for it.
func (l *limiter) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	if l.taken == 0 {
		l.since = time.Now()
	}
	l.taken++
}

func (l *limiter) refill() {
	if back := int(time.Since(l.since) / l.interval); l.taken > 0 && back > 0 {
		l.taken = max(0, l.taken-back)
		l.since = l.since.Add(time.Duration(back) * l.interval)
	}
}
