// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/test/harness"
)

// TestNetnsVanishesInAdd takes the sandbox's namespace away at every place of
// its ADD: the ADD is refused with the reason, and leaves nothing. The same
// with another namespace put at the path.
func TestNetnsVanishesInAdd(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	places := placesOf(t, n, mixed, func(p *harness.Pod) { p.MustAdd() }, func(p *harness.Pod) { p.MustDel() })
	n.ExpectClean(baseline)
	places = slices.DeleteFunc(places, func(p string) bool { return p == "reap" }) // the agent's start
	for run, place := range slices.Repeat(places, 2) {
		pod := n.Pod(mixed)
		n.StopAt(place)
		added := make(chan error, 1)
		go func() {
			_, err := pod.Add()
			added <- err
		}()
		n.Agent.WaitFrozen()
		pod.Destroy()
		if run >= len(places) {
			if err := pod.MakeNetns(); err != nil {
				t.Fatal(err)
			}
		}
		n.Agent.Thaw()
		err := <-added
		if err == nil && (place == "add-wired" || place == "add-reply") {
			pod.MustDel() // it was there when it was looked at last
		} else {
			expectRefused(t, err, cniwire.CodeUnknownContainer, "default/"+pod.Name, pod.Netns, "gone")
		}
		n.ExpectClean(baseline)
		expectEmptied(t, n, pod)
		if t.Failed() {
			t.Fatalf("at %s", place)
		}
		pod.MustDel()
		pod.Destroy()
	}
	t.Logf("%d places", len(places))
}

// TestNameTaken: an interface that somebody else made in the sandbox is not
// touched, and the pod refused with its name.
func TestNameTaken(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	for _, c := range []struct{ name, add string }{
		{"eth0", "ip link add eth0 type bridge"},
		{"eth0", "ip tuntap add eth0 mode tap user 1 multi_queue"},
		{"tap1", "ip link add tap1 type veth peer name other"},
		{"veth1", "ip link add veth1 type veth peer name other"},
		{"tap2", "ip tuntap add tap2 mode tun"},
		{"veth2", "ip link add veth2 type bridge"},
		{"tap3", "ip link add tap3 type bridge"},
	} {
		pod := n.Pod(mixed)
		if err := pod.Run("sh", "-ec", c.add+"; ip link set "+c.name+" mtu 1400"); err != nil {
			t.Fatal(err)
		}
		before, err := pod.Look()
		if err != nil {
			t.Fatal(err)
		}
		_, err = pod.Add()
		expectRefused(t, err, cniwire.CodeRefused, c.name+" in pod default/"+pod.Name, "taken")
		n.ExpectClean(baseline)
		if now, err := pod.Look(); err != nil || now != before {
			t.Errorf("%v; before:\n%s\nnow:\n%s", err, before, now)
		}
		if err := pod.Run("ip", "link", "del", c.name); err != nil {
			t.Fatal(err)
		}
		expectWired(t, pod, pod.MustAdd())
		pod.MustDel()
		n.ExpectClean(baseline)
		pod.Destroy()
		if t.Failed() {
			t.Fatal(c.add)
		}
	}
}

// TestRouteTaken: a route of somebody else to an address that a pod is to have
// stays, and the pod is refused; with the next address it is served.
func TestRouteTaken(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	for _, prefix := range []string{"10.1.1.3/32", "fd10:1:0:1::6/128"} { // tap1's, the second time too
		route := func(verb string) {
			if out, err := exec.Command("ip", "route", verb, prefix, "dev", "lo").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		route("add")
		taken := n.MustLook()
		pod := n.Pod("tap1/tap")
		_, err := pod.Add()
		expectRefused(t, err, cniwire.CodeRefused, "default/"+pod.Name, prefix, "taken")
		n.ExpectClean(taken)
		result := pod.MustAdd()
		if strings.HasPrefix(prefix, harness.IP(result, "tap1", 0)+"/") {
			t.Errorf("tap1 has %s", prefix)
		}
		expectWired(t, pod, result)
		pod.MustDel()
		n.ExpectClean(taken)
		route("del")
		n.ExpectClean(baseline)
	}
}
