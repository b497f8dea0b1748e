// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// runs is how often the agent is killed in each of the kill trials.
var runs = flag.Int("kills", 40, "how often the agent is killed, per trial")

// TestKilledInAdd kills the agent at every place of ADD in turn. The pod is
// fully wired by a repeated ADD, or was refused; a DEL leaves nothing.
func TestKilledInAdd(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	places := placesOf(t, n, func(p *harness.Pod) { p.MustAdd() }, func(p *harness.Pod) { p.MustDel() })
	n.ExpectClean(baseline)
	killed := map[string]int{}
	for run := range *runs {
		place := places[run%len(places)]
		pod := n.Pod(mixed)
		n.KillAt(place, 1+rand.IntN(3))
		_, err := pod.Add()
		dead := revive(n, place)
		switch {
		case dead:
			killed[place]++
		case err != nil:
			t.Fatalf("%s: ADD failed without a kill: %v", place, err)
		}
		if err != nil && run%2 == 0 {
			result := pod.MustAdd() // the runtime tries again
			expectWired(t, pod, result)
		} else if err == nil {
			expectWired(t, pod, pod.MustAdd())
		}
		pod.MustDel()
		pod.Destroy()
		n.DeletePods() // thousands would slow the next agent's start
		n.ExpectClean(baseline)
		if t.Failed() {
			t.Fatalf("run %d, killed at %s", run, place)
		}
	}
	t.Logf("killed at %d places: %v", len(killed), killed)
}

// TestKilledInDel kills the agent at every place of DEL and of what follows it.
// 2 s after the new agent is there, nothing is left.
func TestKilledInDel(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	places := placesOf(t, n, func(p *harness.Pod) { p.MustDel() }, nil)
	n.ExpectClean(baseline)
	killed := map[string]int{}
	for run := range *runs {
		place := places[run%len(places)]
		pod := n.Pod(mixed)
		pod.MustAdd()
		n.KillAt(place, 1+rand.IntN(3))
		pod.MustDel() // with the agent dead or dying too
		if run%2 == 0 {
			pod.Destroy()
		}
		if revive(n, place) {
			killed[place]++
		}
		n.ExpectClean(baseline)
		expectEmptied(t, n, pod)
		if t.Failed() {
			t.Fatalf("run %d, killed at %s", run, place)
		}
		pod.Destroy()
		n.DeletePods()
	}
	t.Logf("killed at %d places: %v", len(killed), killed)
}

// revive starts a new agent where the old one was killed at the place, or is
// going to be by what follows a request. An order that is still there says that
// nobody was killed, unless one of several that passed at once put it back.
func revive(n *harness.Node, place string) (dead bool) {
	const follows, dies = 200 * time.Millisecond, time.Minute
	if n.ReviveAgent(follows) {
		n.Disarm(place)
		return true
	}
	if n.Disarm(place) {
		return n.ReviveAgent(follows)
	}
	return n.ReviveAgent(dies)
}

// placesOf lists the failpoints that an action on an attached pod passes. With
// undo, the action is what attaches it.
func placesOf(t *testing.T, n *harness.Node, act, undo func(*harness.Pod)) []string {
	t.Helper()
	pod := n.Pod(mixed)
	if undo == nil {
		pod.MustAdd()
	}
	n.ForgetFailpoints()
	act(pod)
	if undo == nil {
		// What follows a DEL passes places too.
		harness.Eventually(t, 2*time.Second, func() error {
			if len(n.Interfaces()) > 0 {
				return os.ErrExist
			}
			return nil
		})
	}
	places := n.Failpoints()
	if len(places) < 4 {
		t.Fatalf("only %v is passed", places)
	}
	if undo != nil {
		undo(pod)
	}
	pod.Destroy()
	return places
}
