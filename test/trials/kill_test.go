// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/test/harness"
)

// runs is how often the agent is killed in each of the kill trials.
var runs = flag.Int("kills", 40, "how often the agent is killed, per trial")

// all is an annotation with every kind of interface, memifs too.
const all = mixed + ", memif1/memif, memif2/memif/stub"

// TestKilledInAdd kills the agent, or the relay's worker, at every place of an
// allocation and of ADD in turn. The pod is fully wired by a repeated ADD, or was
// refused; a DEL leaves nothing.
func TestKilledInAdd(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	baseline := n.MustLook()
	places := placesOf(t, n, all, func(p *harness.Pod) { p.MustAdd() }, func(p *harness.Pod) { p.MustDel() })
	n.ExpectClean(baseline)
	killed := map[string]int{}
	for run := range *runs {
		place := places[run%len(places)]
		pod := n.Pod(all)
		n.KillAt(place, passing(run, places))
		_, err := pod.Add()
		dead := revive(n, place)
		switch {
		case dead:
			killed[place]++
		case err != nil:
			t.Fatalf("%s: ADD failed without a kill: %v", place, err)
		}
		if err != nil && run%2 == 0 {
			result := addAgain(n, pod)
			expectWired(t, pod, result)
			pod.ExpectEcho(result)
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
	expectKilled(t, killed, "allocate-journaled", "allocate-folder", "tell-interfaces", "relay-attach-memif", "worker-socket-bound", "worker-socket-named")
	// Whether a container got what was being allocated the next agent cannot know.
	n.ForgetPods()
	most := killed["allocate-journaled"] + killed["allocate-folder"]
	harness.Eventually(t, harness.Patience(10*time.Second), func() error {
		if folders := len(n.Folders()); folders > most {
			return fmt.Errorf("%d folders are left, want at most the %d that the killed allocated", folders, most)
		}
		return nil
	})
}

// addAgain repeats an ADD, as the runtime does, as long as waiting can help.
func addAgain(n *harness.Node, pod *harness.Pod) (result *types100.Result) {
	n.TB.Helper()
	harness.Eventually(n.TB, harness.Patience(waitForPod), func() (err error) {
		result, err = pod.Add()
		if err != nil && harness.CodeOf(err) != uint(cniwire.CodeTryAgainLater) {
			n.TB.Fatalf("ADD of %s again: %v", pod.Name, err)
		}
		return err
	})
	return result
}

// passing is which passing of the place is the last: each place's first at
// first.
func passing(run int, places []string) int {
	if run < len(places) {
		return 1
	}
	return 1 + rand.IntN(3)
}

// expectKilled fails unless somebody was killed at each of the places, where each
// had its turn.
func expectKilled(t *testing.T, killed map[string]int, places ...string) {
	t.Helper()
	for _, place := range places {
		if killed[place] == 0 && *runs >= 40 {
			t.Errorf("nobody was killed at %s", place)
		}
	}
}

// TestKilledInDel kills the agent, or the relay's worker, at every place of DEL
// and of what follows it. 2 s after the new one is there, nothing is left.
func TestKilledInDel(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	baseline := n.MustLook()
	places := placesOf(t, n, all, func(p *harness.Pod) { p.MustDel() }, nil)
	n.ExpectClean(baseline)
	killed := map[string]int{}
	for run := range *runs {
		place := places[run%len(places)]
		pod := n.Pod(all)
		pod.MustAdd()
		n.KillAt(place, passing(run, places))
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
	expectKilled(t, killed, "worker-socket-removed")
}

// revive starts a new agent where the old one was killed at the place, or is
// going to be by what follows a request. An order that is still there says that
// nobody was killed, unless one of several that passed at once put it back. The
// relay's worker is started by its parent.
func revive(n *harness.Node, place string) (dead bool) {
	if strings.HasPrefix(place, "worker-") {
		dead = !n.Disarm(place)
		n.WaitReady()
		return dead
	}
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
func placesOf(t *testing.T, n *harness.Node, annotation string, act, undo func(*harness.Pod)) []string {
	t.Helper()
	pod := n.Pod(annotation)
	if undo == nil {
		pod.MustAdd()
	}
	n.ForgetFailpoints()
	act(pod)
	if undo == nil {
		// What follows a DEL passes places too.
		harness.Eventually(t, harness.Patience(waitForPod), func() error {
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

// TestKilledWhileFreed kills the agent while it gives up what kubelet needs no
// more; the next pod is given the same devices.
func TestKilledWhileFreed(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	for _, place := range []string{"free-folder", "free-journaled"} {
		pod := n.Pod(all)
		pod.MustAdd()
		pod.MustDel()
		n.KillAt(place, 1)
		pod.Forget()
		if !n.ReviveAgent(harness.Patience(10 * time.Second)) {
			t.Fatalf("nobody was killed at %s", place)
		}
		next := n.Pod(all)
		next.ExpectEcho(next.MustAdd())
		next.MustDel()
		n.ForgetPods()
		harness.Eventually(t, harness.Patience(10*time.Second), func() error {
			// One whose record outlived its folder is there again.
			if folders := len(n.Folders()); folders > 1 {
				return fmt.Errorf("%d folders", folders)
			}
			return nil
		})
	}
}
