// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
	vppprocess "github.com/polynic/polynic/test/vpp"
)

// wired is a node with pods on it.
type wired struct {
	*lab
	driver *vpp.Driver
	node   plan.Node
	want   desired.Set
}

// newWired is a node whose VPP has these sockets.
func newWired(t testing.TB, api, stats string) *wired {
	t.Helper()
	return newWiredWith(t, newLab(t, api, stats))
}

func newWiredWith(t testing.TB, l *lab) *wired {
	t.Helper()
	w := &wired{lab: l, node: planned(), want: desired.Set{}}
	w.reopen()
	t.Cleanup(func() { _ = w.driver.Close() })
	w.apply(desired.Owner{}, w.node.Objects())
	return w
}

// onServer is a node with a VPP that moves no packets.
func onServer(t testing.TB) (*wired, *vpptest.Server) {
	t.Helper()
	s := vpptest.Start(t, vpptest.Config{})
	return newWired(t, s.Socket, s.Stats), s
}

// onVPP is a node with a real VPP.
func onVPP(t testing.TB) (*wired, *vppprocess.Process) {
	t.Helper()
	p := vppprocess.Start(t, vppprocess.Config{})
	return newWired(t, p.API, p.Stats), p
}

// onVPPWith is one that resolves services too.
func onVPPWith(t testing.TB, node vpp.NodeServices) (*wired, *vppprocess.Process) {
	t.Helper()
	p := vppprocess.Start(t, vppprocess.Config{})
	l := newLab(t, p.API, p.Stats)
	l.nodeServices = node
	return newWiredWith(t, l), p
}

// reopen is what an agent's restart is.
func (w *wired) reopen() {
	w.t.Helper()
	if w.driver != nil {
		if err := w.driver.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	driver, err := w.open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.driver = driver
}

// repair does what the reconciler does when it compares everything.
func (w *wired) repair() error {
	have, err := w.driver.Observe(w.t.Context(), dataplane.Scope{Want: w.want})
	if err != nil {
		return err
	}
	changes := map[desired.Owner][]desired.Change{}
	for _, c := range desired.Diff(have, w.want) {
		changes[c.Key().Owner] = append(changes[c.Key().Owner], c)
	}
	if node := changes[desired.Owner{}]; node != nil { // first, and alone
		if err := w.change(desired.Owner{}, node); err != nil {
			return err
		}
		delete(changes, desired.Owner{})
	}
	var work []dataplane.Work
	for owner, list := range changes {
		work = append(work, dataplane.Work{Owner: owner, Changes: list})
	}
	failed := make(chan error, len(work))
	w.driver.Apply(w.t.Context(), work, func(_ desired.Owner, err error) { failed <- err })
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// differs is what there is otherwise than it should be.
func (w *wired) differs() string {
	w.t.Helper()
	have, err := w.driver.Observe(w.t.Context(), dataplane.Scope{Want: w.want})
	if err != nil {
		w.t.Fatal(err)
	}
	return cmp.Diff(w.want.String(), have.String())
}

func planned() plan.Node {
	n := plan.Node{Default: desired.Network{
		Name:       model.DefaultNetwork,
		Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd10:1:0:1::1")},
		Pods:       []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd10:1:0:1::/64")},
		Inside:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
		Masquerade: true,
	}}
	adapt(&n)
	return n
}

func (w *wired) apply(owner desired.Owner, objects []desired.Object) {
	w.t.Helper()
	w.want.Add(objects...)
	if err := w.change(owner, desired.Diff(nil, desired.NewSet(objects...))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wired) change(owner desired.Owner, changes []desired.Change) (err error) {
	work := []dataplane.Work{{Owner: owner, Changes: changes}}
	w.driver.Apply(w.t.Context(), work, func(_ desired.Owner, failed error) { err = failed })
	return err
}

// addresses are those of the i-th interface of the n-th pod.
func (*wired) addresses(n, i int) []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr(fmt.Sprintf("10.1.1.%d", 10*n+i)),
		netip.MustParseAddr(fmt.Sprintf("fd10:1:0:1::%d", 10*n+i)),
	}
}

// attachment is the n-th pod: a veth eth0 (10.1.1.N1), a tap (N2), a memif (N3), and
// one of each in the stub network.
func (w *wired) attachment(n int) model.Attachment {
	address := func(i int) []netip.Addr { return w.addresses(n, i) }
	folder := w.Folder()
	memif := func(id uint32) *model.Memif {
		return &model.Memif{ID: id, Container: "app", Allocation: "a", Folder: folder, Secret: model.NewSecret("bcdfghjklmnpqrstvwxz")}
	}
	return model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
		Netns: w.Pod(), MTU: 1450, Network: "net",
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(1)},
			{Name: "tap1", Type: podif.Tap, Queues: 1, Network: model.DefaultNetwork, Addresses: address(2)},
			{Name: "memif1", Type: podif.Memif, Queues: 1, Network: model.DefaultNetwork, Addresses: address(3), Memif: memif(0)},
			{Name: "veth1", Type: podif.Veth, Network: model.StubNetwork},
			{Name: "tap2", Type: podif.Tap, Queues: 1, Network: model.StubNetwork},
		},
	}
}

func (w *wired) add(n int) model.Attachment {
	w.t.Helper()
	a := w.attachment(n)
	objects, err := w.node.Attachment(a)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(a.ID, objects)
	return a
}

// run runs a shell line in a pod.
func (w *wired) run(a model.Attachment, line string) error {
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Do(func() error { return shell(line) })
}

func shell(line string) error {
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}
