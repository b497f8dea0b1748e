// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// burst is P3: many pods at once, as when a node comes back.
func burst(t *testing.T, s *sheet) {
	t.Helper()
	r := newReference(t, s, "P3")
	n := startNode(t)
	ours, theirs := &burstArm{rate: arm{name: "polynic"}}, &burstArm{rate: arm{name: "reference"}}
	for range s.bursts {
		pods, sandboxes := n.pool(s.pods), r.pool(s.pods)

		counted := harness.Watch(t, n.Inside, paths(pods, func(p *harness.Pod) string { return p.Netns })...)
		runBurst(ours, pods, n.add)
		counted.End()
		ours.moved += counted.Moved

		counted = harness.Watch(t, r.node, paths(sandboxes, referencePod.netns)...)
		runBurst(theirs, sandboxes, func(p referencePod) (time.Duration, error) { return r.run("ADD", p) })
		counted.End()
		theirs.moved += counted.Moved

		if err := inParallel(pods, func(p *harness.Pod) error { _, err := n.del(p); return err }); err != nil {
			t.Error(err)
		}
		n.waitGone(0)
	}
	s.ratio("P3 pods per second, 16 at once, vs the reference delegates", ours.rate.median()/theirs.rate.median(), atLeast(10), "pods/s", &ours.rate, &theirs.rate)
	s.value("P3 errors", float64(ours.failed), "", atMost(0))
	s.value("P3 links moved between namespaces", float64(ours.moved), "", atMost(0))
	s.value("P3 p99 of ADD in a burst over its p50", ours.each.percentile(99)/ours.each.median(), "x", atMost(4))
	s.note("ADD in a burst, ms: %s, p99 %s; reference %s, p99 %s", &ours.each, number(ours.each.percentile(99)), &theirs.each, number(theirs.each.percentile(99)))
	s.note("of the reference: %d errors, %d links moved", theirs.failed, theirs.moved)
	if ours.err != nil {
		t.Error(ours.err)
	}
	if ours.moved > 0 {
		t.Errorf("%d links were moved between namespaces", ours.moved)
	}
}

func paths[T any](pods []T, path func(T) string) []string {
	list := make([]string, len(pods))
	for i, p := range pods {
		list[i] = path(p)
	}
	return list
}

// burstArm is how bursts of one side went.
type burstArm struct {
	rate, each arm
	failed     int
	moved      int
	err        error // the last
}

func runBurst[T any](b *burstArm, pods []T, add func(T) (time.Duration, error)) {
	var mu sync.Mutex
	begin := time.Now()
	_ = inParallel(pods, func(p T) error {
		took, err := add(p)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			b.failed++
			b.err = err
			return nil
		}
		b.each.took(took)
		return nil
	})
	b.rate.add(float64(len(pods)) / time.Since(begin).Seconds())
}
