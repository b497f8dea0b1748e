// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/test/harness"
)

// delLimit is how long a DEL may take, whatever has become of everything else.
const delLimit = time.Second

// delForm is one way in which a runtime, or fate, makes a DEL harder.
type delForm struct {
	name string
	// spoil comes before the DEL, and mend after it; nil is nothing.
	spoil, mend func(*testing.T, *harness.Node, *harness.Pod)
	// call is the DEL; nil is the ordinary one.
	call func(*harness.Node, *harness.Pod) error
}

func killAgent(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.Agent.Kill() }

func startAgent(_ *testing.T, n *harness.Node, _ *harness.Pod) {
	n.StartAgent()
	n.WaitReady()
}

func withoutNetns(n *harness.Node, p *harness.Pod) error {
	return p.Call("DEL", n.NetConf("1.1.0", harness.NetworkName), "CNI_NETNS=")
}

// lossy is a DEL with a configuration that was written anew, by somebody who
// did not understand all of it.
func lossy(n *harness.Node, p *harness.Pod) error {
	return p.Call("DEL", n.NetConf("", "another"), "CNI_ARGS=", "CNI_PATH=")
}

func wipeState(t *testing.T, n *harness.Node, _ *harness.Pod) {
	t.Helper()
	entries, err := os.ReadDir(n.Config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(n.Config.StateDir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func inTurn(steps ...func(*testing.T, *harness.Node, *harness.Pod)) func(*testing.T, *harness.Node, *harness.Pod) {
	return func(t *testing.T, n *harness.Node, p *harness.Pod) {
		t.Helper()
		for _, s := range steps {
			s(t, n, p)
		}
	}
}

func destroy(_ *testing.T, _ *harness.Node, p *harness.Pod) { p.Destroy() }

func delForms() []delForm {
	forget := func(t *testing.T, _ *harness.Node, p *harness.Pod) {
		t.Helper()
		if err := p.ForgetResult(); err != nil {
			t.Fatal(err)
		}
	}
	hidePods := func(t *testing.T, n *harness.Node, _ *harness.Pod) {
		t.Helper()
		if err := os.Rename(n.PodDir(), n.PodDir()+".away"); err != nil {
			t.Fatal(err)
		}
	}
	showPods := func(t *testing.T, n *harness.Node, _ *harness.Pod) {
		t.Helper()
		if err := os.Rename(n.PodDir()+".away", n.PodDir()); err != nil {
			t.Fatal(err)
		}
	}
	restart := inTurn(killAgent, startAgent)
	return []delForm{
		{name: "ordinary"},
		{name: "namespace gone", spoil: destroy},
		{name: "without CNI_NETNS", call: withoutNetns},
		{name: "without CNI_NETNS and namespace", spoil: destroy, call: withoutNetns},
		{name: "without prevResult", spoil: forget},
		{name: "another configuration", call: lossy},
		{name: "pod object gone", spoil: func(t *testing.T, n *harness.Node, p *harness.Pod) {
			t.Helper()
			if err := n.DeletePod(p.Name); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "pod source gone", spoil: hidePods, mend: showPods},
		{
			name:  "pod source gone, agent restarted",
			spoil: inTurn(killAgent, hidePods, func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.StartAgent() }),
			mend:  inTurn(showPods, func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.WaitReady() }),
		},
		{name: "state folder wiped", spoil: wipeState, mend: inTurn(destroy, restart)},
		{name: "state folder wiped, agent restarted", spoil: inTurn(killAgent, wipeState, startAgent)},
		{name: "agent restarted", spoil: restart},
		{name: "agent down", spoil: killAgent, mend: startAgent},
		{name: "agent down, another configuration", spoil: killAgent, call: lossy, mend: startAgent},
		{name: "agent down, namespace gone", spoil: inTurn(killAgent, destroy), call: withoutNetns, mend: startAgent},
		{name: "agent down, state folder wiped", spoil: inTurn(killAgent, wipeState), mend: startAgent},
		{
			name:  "agent hangs",
			spoil: func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.Agent.Freeze() },
			mend:  func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.Agent.Thaw() },
		},
		{
			name:  "relay down",
			spoil: func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.Relay.Kill() },
			mend:  func(_ *testing.T, n *harness.Node, _ *harness.Pod) { n.StartRelay() },
		},
	}
}

// TestDelForms: whatever is lost, each of three DELs succeeds within a second,
// and 2 s later nothing is left.
func TestDelForms(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	bystander := n.Pod(mixed)
	result := bystander.MustAdd()
	inUse := n.MustLook()
	for _, form := range delForms() {
		t.Log(form.name)
		pod := n.Pod(mixed)
		pod.MustAdd()
		if form.spoil != nil {
			form.spoil(t, n, pod)
		}
		for range 3 {
			if form.call == nil {
				form.call = func(_ *harness.Node, p *harness.Pod) error { return p.Del() }
			}
			begin := time.Now()
			err := form.call(n, pod)
			if took := time.Since(begin); err != nil || took > harness.Patience(delLimit) {
				t.Errorf("%s: DEL took %v: %v", form.name, took, err)
			}
		}
		if form.mend != nil {
			form.mend(t, n, pod)
		}
		n.ExpectClean(inUse)
		expectEmptied(t, n, pod)
		if t.Failed() {
			t.FailNow()
		}
		pod.Destroy()
	}
	expectWired(t, bystander, result)
	bystander.MustDel()
	n.ExpectClean(baseline)
}

// TestDelOfUnknown: there is nothing to delete, which is what was asked for.
func TestDelOfUnknown(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	conf := n.NetConf("1.1.0", harness.NetworkName)
	pod := n.Sandbox("nobody", "uid-1")
	pod.MustDel()
	for _, settings := range [][]string{
		nil, {"CNI_NETNS=/nowhere"}, {"CNI_CONTAINERID=../up"}, {"CNI_IFNAME=a/b"}, {"CNI_ARGS=NONSENSE"},
	} {
		if err := pod.Call("DEL", conf, settings...); err != nil {
			t.Errorf("DEL with %q: %v", settings, err)
		}
	}
	n.Agent.Kill()
	pod.MustDel()
	n.StartAgent()
	n.WaitReady()
	n.ExpectClean(baseline)
}
