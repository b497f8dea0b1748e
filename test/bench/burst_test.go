// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// burst is P3: many pods at once, as when a node comes back.
func burst(t *testing.T, s *sheet) {
	t.Helper()
	r := newReference(t, s, "P3")
	n := startNode(t)
	ours, theirs := &burstArm{rate: figure.Arm{Name: "polynic"}}, &burstArm{rate: figure.Arm{Name: "reference"}}
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
	s.Ratio("P3 pods per second, 16 at once, vs the reference delegates", ours.rate.Median()/theirs.rate.Median(), figure.AtLeast(10), "pods/s", &ours.rate, &theirs.rate)
	s.Value("P3 errors", float64(ours.failed), "", figure.AtMost(0))
	s.Value("P3 links moved between namespaces", float64(ours.moved), "", figure.AtMost(0))
	s.Value("P3 p99 of ADD in a burst over its p50", ours.each.Percentile(99)/ours.each.Median(), "x", figure.AtMost(4))
	s.Note("ADD in a burst, ms: %s, p99 %s; reference %s, p99 %s", &ours.each, figure.Number(ours.each.Percentile(99)), &theirs.each, figure.Number(theirs.each.Percentile(99)))
	s.Note("of the reference: %d errors, %d links moved", theirs.failed, theirs.moved)
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
	rate, each figure.Arm
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
		b.each.Took(took)
		return nil
	})
	b.rate.Add(float64(len(pods)) / time.Since(begin).Seconds())
}
