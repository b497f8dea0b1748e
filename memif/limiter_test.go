// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter{burst: 5, interval: time.Second}
		for i := range 5 {
			if d := l.wait(); d != 0 {
				t.Fatalf("token %d comes in %v", i, d)
			}
			l.take()
		}
		if d := l.wait(); d != time.Second {
			t.Errorf("the sixth comes in %v", d)
		}
		time.Sleep(999 * time.Millisecond)
		if d := l.wait(); d != time.Millisecond {
			t.Errorf("a moment before, the sixth comes in %v", d)
		}
		time.Sleep(time.Millisecond)
		if d := l.wait(); d != 0 {
			t.Errorf("after a second, the sixth comes in %v", d)
		}
		l.take()
		if d := l.wait(); d != time.Second {
			t.Errorf("the seventh comes in %v", d)
		}
		// Taken in spite of the limit, it takes longer.
		l.take()
		if d := l.wait(); d <= 0 {
			t.Errorf("the eighth comes in %v", d)
		}
		time.Sleep(time.Hour)
		for i := range 5 {
			if d := l.wait(); d != 0 {
				t.Errorf("after an hour, token %d comes in %v", i, d)
			}
			l.take()
		}
		if d := l.wait(); d != time.Second {
			t.Errorf("after an hour, the sixth comes in %v", d)
		}
	})
}

// In any hour no more than the burst and one for each interval are allowed.
func TestLimiterOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter{burst: 5, interval: time.Second}
		allowed := 0
		for range 10 * 3600 {
			if l.wait() == 0 {
				l.take()
				allowed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if want := 5 + 3600; allowed < want-1 || allowed > want {
			t.Errorf("%d in an hour, want %d", allowed, want)
		}
	})
}
