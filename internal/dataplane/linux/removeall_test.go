// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// foreign is what somebody else has in a pod: a tap, and a rule that leads to a
// table of ours.
const foreign = "ip tuntap add mode tap name mine; ip rule add from 192.0.2.1 lookup 1001 priority 7"

// TestNothingStaysBehindInPods: whichever way the ports of pods go that live on,
// nothing of ours is left in these, and what is another's stays.
func TestNothingStaysBehindInPods(t *testing.T) {
	for name, test := range map[string]struct {
		podNetns string // where the driver looks, if not where the pods are
		remove   func(*testing.T, *linux.Driver, desired.Set) error
	}{
		"all, as found": {remove: func(t *testing.T, d *linux.Driver, _ desired.Set) error {
			t.Helper()
			return d.RemoveAll(t.Context(), nil)
		}},
		"all, as known": {podNetns: "/nowhere", remove: func(t *testing.T, d *linux.Driver, known desired.Set) error {
			t.Helper()
			return d.RemoveAll(t.Context(), known)
		}},
		"strays": {remove: removeStrays},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWired(t)
			pods := map[model.Netns]string{}
			known := desired.Set{}
			for n, kind := range []podif.Type{podif.Tap, podif.Veth} {
				ns := w.pod()
				w.mustRun(ns, foreign)
				pods[ns] = w.inside(ns)
				objects := w.objects(n+1, ns, model.Interface{Name: "net1", Type: kind, Queues: 1})
				known.Add(objects...)
				w.apply(objects[0].Key().Owner, objects)
			}
			if test.podNetns != "" {
				w.podNetns = test.podNetns
			}
			driver, err := w.open()
			if err != nil {
				t.Fatal(err)
			}
			defer driver.Close()
			if err := test.remove(t, driver, known); err != nil {
				t.Error(err)
			}
			for ns, before := range pods {
				if diff := cmp.Diff(before, w.inside(ns)); diff != "" {
					t.Errorf("in the pod (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// TestRenamedPortGoes: a port whose switch end has another name by now is cut off
// and deleted like any other, by the driver that made it and by the next.
func TestRenamedPortGoes(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		w := newWired(t)
		objects := w.objects(1, w.pod(), model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
		owner := objects[0].Key().Owner
		w.apply(owner, objects)
		for i, port := range []string{"eth0", "tap1"} {
			renamed := fmt.Sprintf("other%d", i)
			if out, err := exec.Command("ip", "link", "set", w.driver.PortName(owner, port), "name", renamed).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		driver := w.driver
		if restarted {
			var err error
			if driver, err = w.open(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = driver.Close() })
		}
		work := []dataplane.Work{{Owner: owner, Changes: desired.Diff(desired.NewSet(objects...), nil)}}
		driver.Apply(t.Context(), work, func(_ desired.Owner, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if left, err := driver.Reap(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("left of %v, %v", left, err)
		}
		links, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if l.Name != "lo" {
				t.Errorf("restarted %v: %s is left", restarted, l.Name)
			}
		}
	}
}

// TestUnreadablePodStopsNobody: of pods of which one cannot be read, the others
// are known; asked for alone, it is said why not.
func TestUnreadablePodStopsNobody(t *testing.T) {
	w := newWired(t)
	var want [2]desired.Set
	var pods [2]model.Netns
	for i := range pods {
		pods[i] = w.pod()
		objects := w.objects(i+1, pods[i], model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
		w.apply(objects[0].Key().Owner, objects)
		want[i] = desired.NewSet(objects...)
	}
	w.kill(pods[0])
	if err := os.Symlink(filepath.Base(pods[0].Path), pods[0].Path); err != nil { // to itself
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(pods[0].Path) })
	both := desired.Set{}
	maps.Copy(both, want[0])
	maps.Copy(both, want[1])
	for name, scope := range map[string]dataplane.Scope{
		"both":               {Want: both},
		"everything":         {Want: both, Everything: true},
		"it alone, at start": {Want: want[0], Everything: true},
	} {
		found, err := w.driver.Observe(t.Context(), scope)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for key, o := range want[1] {
			if _, asked := scope.Want[key]; asked && (found[key] == nil || !found[key].Equal(o)) {
				t.Errorf("%s: found %v, want %v", name, found[key], o)
			}
		}
	}
	if _, err := w.driver.Observe(t.Context(), dataplane.Scope{Want: want[0]}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("it alone: error %v, want ELOOP", err)
	}
}

// removeStrays removes what nobody wants, as the reconciler does.
func removeStrays(t *testing.T, d *linux.Driver, _ desired.Set) error {
	t.Helper()
	found, err := d.Observe(t.Context(), dataplane.Scope{Everything: true})
	if err != nil {
		return err
	}
	for _, change := range desired.Diff(found, nil) {
		work := dataplane.Work{Owner: change.Key().Owner, Changes: []desired.Change{change}}
		d.Apply(t.Context(), []dataplane.Work{work}, func(_ desired.Owner, failed error) { err = errors.Join(err, failed) })
	}
	if err != nil {
		return err
	}
	left, err := d.Reap(context.WithoutCancel(t.Context()))
	if len(left) > 0 {
		t.Errorf("left of %v", left)
	}
	return err
}

// inside lists what polynic could have made in a pod's namespace.
func (w *wired) inside(ns model.Netns) string {
	w.t.Helper()
	h, err := netns.OpenExact(ns)
	if err != nil {
		w.t.Fatal(err)
	}
	defer h.Close()
	var out []byte
	err = h.Do(func() (err error) {
		out, err = exec.Command("sh", "-c", `ip -o link; ip -o addr; ip rule; ip -6 rule; ip neigh; ip -6 neigh
ip route show table all; ip -6 route show table all`).Output()
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(out)
}
