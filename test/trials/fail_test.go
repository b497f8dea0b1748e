// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"path/filepath"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// expectFailedAdd adds a pod while something is broken: it is refused with the
// code and the words; once all is mended nothing of it is left, and the same
// sandbox is added.
func expectFailedAdd(t *testing.T, n *harness.Node, broken func() (mend func()), code cniwire.Code, words ...string) {
	t.Helper()
	baseline := n.MustLook()
	pod := n.Pod(mixed)
	mend := broken()
	_, err := pod.Add()
	expectRefused(t, err, code, append(words, "default/"+pod.Name)...)
	mend()
	n.ExpectClean(baseline)
	expectWired(t, pod, pod.MustAdd())
	pod.MustDel()
	n.ExpectClean(baseline)
	expectEmptied(t, n, pod)
	pod.Destroy()
}

// TestAddWithoutRelay: taps cannot be had while the relay is away or hangs, and
// pods that need none do not notice.
func TestAddWithoutRelay(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	expectFailedAdd(t, n, func() func() {
		n.Relay.Kill()
		plain := n.Pod("veth1/veth, veth2/veth/stub")
		expectWired(t, plain, plain.MustAdd())
		plain.MustDel()
		return n.StartRelay
	}, cniwire.CodeTryAgainLater, "tap1 in pod", "relay", "does not answer")
	expectFailedAdd(t, n, func() func() {
		n.Relay.Freeze()
		return func() {
			expectNoWait(t, n)
			n.Relay.Thaw()
		}
	}, cniwire.CodeTryAgainLater, "tap1 in pod", "relay", "does not answer", "hangs")
	expectFailedAdd(t, n, func() func() {
		disk := harness.MountDisk(t, filepath.Join(n.Config.RunDir, "relay"), 1<<20)
		disk.ReadOnly()
		return disk.Unmount
	}, cniwire.CodeInternal, "tap1 in pod", "record", "read-only file system")
	n.ExpectClean(baseline)
}

// expectNoWait: a relay that is known to hang is waited for by nobody.
func expectNoWait(t *testing.T, n *harness.Node) {
	t.Helper()
	begin := time.Now()
	tap, plain := n.Pod("tap1/tap"), n.Pod("veth1/veth")
	_, err := tap.Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "tap1 in pod", "hangs")
	expectWired(t, plain, plain.MustAdd())
	tap.MustDel()
	plain.MustDel()
	if took := time.Since(begin); took > harness.Patience(3*time.Second) {
		t.Errorf("it took %v to refuse a tap and to make a veth", took)
	}
}

// TestAddWithoutAgent: the CNI binary says who does not answer.
func TestAddWithoutAgent(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	n.Agent.Kill()
	pod := n.Pod(mixed)
	_, err := pod.Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "polynic-agent", n.Config.CNISocket(), "is it running?")
	pod.MustDel()
	n.StartAgent()
	n.WaitReady()
	n.ExpectClean(baseline)
}

// startOnDisk starts a node whose state is on a small disk of its own.
func startOnDisk(t *testing.T, alter func(*config.Config)) (*harness.Node, *harness.Disk) {
	t.Helper()
	n := harness.NewNode(t, func(c *config.Config) {
		c.StateDir = filepath.Join(c.StateDir, "disk", "polynic")
		if alter != nil {
			alter(c)
		}
	})
	disk := harness.MountDisk(t, filepath.Dir(n.Config.StateDir), 64<<10)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	return n, disk
}

// TestAddWithoutDisk: an address that cannot be written down is not given, and
// a DEL succeeds nevertheless. The agent needs no restart when the disk works
// again.
func TestAddWithoutDisk(t *testing.T) {
	n, disk := startOnDisk(t, nil)
	baseline := n.MustLook()
	attached := n.Pod(mixed)
	attached.MustAdd()
	empty := disk.Fill()
	expectFailedAdd(t, n, func() func() {
		fillJournal(n, mixed)
		return empty
	}, cniwire.CodeInternal, "write down its addresses", "no space left on device")

	n.Agent.Kill()
	disk.ReadOnly()
	n.StartAgent()
	n.WaitReady()
	expectFailedAdd(t, n, func() func() {
		return disk.Writable
	}, cniwire.CodeInternal, "write down its addresses", "read-only file system")
	attached.MustDel()
	n.ExpectClean(baseline)
}

// fillJournal adds and deletes pods until the last page of the journal, on a
// disk that is full, takes no more.
func fillJournal(n *harness.Node, annotation string) {
	for {
		p := n.Pod(annotation)
		_, err := p.Add()
		p.MustDel()
		if err != nil {
			return
		}
	}
}

// TestDelWithoutDisk: DELs that could not be written down are not undone by a
// restart, and their addresses, given to others, do not keep the agent from
// starting.
func TestDelWithoutDisk(t *testing.T) {
	n, disk := startOnDisk(t, func(c *config.Config) { c.Network.Subnets[0].NodePrefixLen = 27 }) // 28 addresses
	baseline := n.MustLook()
	var old []*harness.Pod
	for range 10 {
		old = append(old, n.Pod(""))
		old[len(old)-1].MustAdd()
	}
	empty := disk.Fill()
	fillJournal(n, "")
	for _, p := range old {
		p.MustDel()
	}
	empty()
	n.ExpectClean(baseline)
	results := map[*harness.Pod]*types100.Result{}
	for range 26 {
		p := n.Pod("")
		results[p] = p.MustAdd()
	}
	n.RestartAgent()
	for p, result := range results {
		expectWired(t, p, result)
		p.MustDel()
	}
	n.ExpectClean(baseline)
	expectEmptied(t, n, old...)
}
