// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// flock is pods that are attached.
type flock map[*harness.Pod]*types100.Result

func (f flock) add(n *harness.Node, count int, annotation string) []*harness.Pod {
	n.TB.Helper()
	var pods []*harness.Pod
	for range count {
		p := n.Pod(annotation)
		f[p] = p.MustAdd()
		pods = append(pods, p)
	}
	return pods
}

// remove ends pods as a runtime does.
func (f flock) remove(pods ...*harness.Pod) {
	for _, p := range pods {
		p.MustDel()
		p.Destroy()
		delete(f, p)
	}
}

// expect fails unless these pods, and no others of the flock, are attached, and
// in order.
func (f flock) expect(t *testing.T, n *harness.Node, pods []*harness.Pod) {
	t.Helper()
	var gone []*harness.Pod
	for p := range f {
		if slices.Contains(pods, p) {
			expectWired(t, p, f[p])
		} else {
			gone = append(gone, p)
		}
	}
	expectEmptied(t, n, gone...)
}

func attachments(pods []*harness.Pod) []types.GCAttachment {
	var list []types.GCAttachment
	for _, p := range pods {
		list = append(list, p.Attachment())
	}
	return list
}

// attached waits until so many attachments are left, those on their way out
// included.
func attached(n *harness.Node, count int) {
	n.TB.Helper()
	harness.Eventually(n.TB, harness.Patience(waitForPod), func() error {
		status, err := n.Status()
		if err == nil && status.Counts.Attachments != count {
			err = fmt.Errorf("%d attachments, want %d", status.Counts.Attachments, count)
		}
		return err
	})
}

// TestGC: of 50 attachments those 30 go that are not listed as valid, whatever
// else is listed and however often; those of another network never do.
func TestGC(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	all := flock{}
	stale := append(all.add(n, 20, ""), all.add(n, 10, "tap1/tap, veth1/veth/stub")...)
	valid := append(all.add(n, 15, ""), all.add(n, 5, "tap1/tap, veth1/veth/stub")...)
	others := n.Network("other")
	foreign := n.Pod(mixed)
	foreign.List = others
	all[foreign] = foreign.MustAdd()

	unknown := types.GCAttachment{ContainerID: "unknown", IfName: "eth0"}
	list := append(attachments(valid), unknown, types.GCAttachment{ContainerID: stale[0].ContainerID, IfName: "net1"})
	for range 2 {
		if err := n.GC(n.List(), list); err != nil {
			t.Fatal(err)
		}
		attached(n, 21)
	}
	all.expect(t, n, append(valid, foreign))
	if err := n.GC(n.Network("nobodys"), []types.GCAttachment{}); err != nil {
		t.Error(err)
	}
	attached(n, 21)
	if err := n.GC(n.List(), nil); err != nil { // says of nobody that it is gone
		t.Error(err)
	}
	attached(n, 21)
	if err := n.GC(n.List(), []types.GCAttachment{unknown}); err != nil {
		t.Error(err)
	}
	attached(n, 1)
	all.expect(t, n, []*harness.Pod{foreign})
	if err := n.GC(others, []types.GCAttachment{}); err != nil {
		t.Error(err)
	}
	n.ExpectClean(baseline)
	for p := range all {
		p.MustDel()
	}
}

// TestGCOfLostRecords: sandboxes that an agent without its journal took up are of
// the CNI network that they were added to.
func TestGCOfLostRecords(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	all := flock{}
	stale, valid := all.add(n, 2, "veth1/veth"), all.add(n, 2, mixed)
	foreign := n.Pod(mixed)
	foreign.List = n.Network("other")
	all[foreign] = foreign.MustAdd()
	n.Agent.Kill()
	if err := os.Remove(n.Config.JournalFile()); err != nil {
		t.Fatal(err)
	}
	n.StartAgent()
	n.WaitReady()
	attached(n, 5)
	if err := n.GC(n.List(), attachments(valid)); err != nil {
		t.Error(err)
	}
	attached(n, 3)
	all.expect(t, n, append(valid, foreign))
	all.remove(append(append(valid, foreign), stale...)...)
	n.ExpectClean(baseline)
}

// TestGCWhileAdding: ADDs that have begun when a GC comes are not harmed by it,
// although its list does not have them.
func TestGCWhileAdding(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	for range *rounds {
		all := flock{}
		all.add(n, 4, "")
		valid := all.add(n, 2, mixed)
		var adding []*harness.Pod
		for range 8 {
			adding = append(adding, n.Pod("tap1/tap, veth1/veth"))
		}
		// The first to come so far stops the agent: none of the eight is done.
		n.StopAt("add-journaled")
		var running sync.WaitGroup
		results := make([]*types100.Result, len(adding))
		for i, p := range adding {
			running.Go(func() {
				var err error
				if results[i], err = p.Add(); err != nil {
					t.Errorf("ADD while a GC runs: %v", err)
				}
			})
		}
		n.Agent.WaitFrozen()
		n.WaitRequests(len(adding))
		running.Go(func() {
			if err := n.GC(n.List(), attachments(valid)); err != nil {
				t.Error(err)
			}
		})
		n.WaitRequests(len(adding) + 1)
		n.Agent.Thaw()
		running.Wait()
		for i, p := range adding {
			all[p] = results[i]
		}
		attached(n, len(valid)+len(adding))
		all.expect(t, n, slices.Concat(valid, adding))
		for p := range all {
			p.MustDel()
			p.Destroy()
		}
		n.ExpectClean(baseline)
		if t.Failed() {
			return
		}
	}
}

// TestSweepAtStart: sandboxes that went without a DEL while no agent ran are
// removed by the next one: those whose path leads nowhere, and those whose path
// leads to another namespace, which is not touched.
func TestSweepAtStart(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	all := flock{}
	stays := all.add(n, 1, mixed)
	inUse := n.MustLook()
	gone, replaced, file := n.Pod(mixed), n.Pod(mixed), n.Pod(mixed)
	for _, p := range []*harness.Pod{gone, replaced, file} {
		p.MustAdd()
	}
	n.Agent.Kill()
	for _, p := range []*harness.Pod{gone, replaced, file} {
		p.Destroy()
	}
	if err := replaced.MakeNetns(); err != nil {
		t.Fatal(err)
	}
	before, err := replaced.Look()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file.Netns, nil, 0o600); err != nil { // as an unmounted one leaves it
		t.Fatal(err)
	}
	startAgent(t, n, nil)
	n.ExpectClean(inUse)
	now, err := replaced.Look()
	if diff := cmp.Diff(before, now); diff != "" || err != nil {
		t.Errorf("the other namespace was changed: %v (-before +now):\n%s", err, diff)
	}
	all.expect(t, n, stays)
	stays[0].MustDel()
	n.ExpectClean(baseline)
}

// TestSweep: a sandbox that goes without a DEL while the agent runs is removed
// by and by, and nobody else.
func TestSweep(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) {
		c.SweepInterval.Duration, c.RepairInterval.Duration = 200*time.Millisecond, time.Hour
	})
	baseline := n.MustLook()
	all := flock{}
	stays := all.add(n, 1, mixed)
	inUse := n.MustLook()
	for range 2 { // sweeping goes on
		gone := n.Pod(mixed)
		gone.MustAdd()
		gone.Destroy()
		n.ExpectClean(inUse)
	}
	all.expect(t, n, stays)
	stays[0].MustDel()
	n.ExpectClean(baseline)
}
