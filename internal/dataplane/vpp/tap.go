// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/tapv2"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// tapPort is a tap that VPP has itself (tapv2), in a pod.
type tapPort struct {
	desired.Tap
	tag  string
	ring int
	// isThere is whether the pod has the device, isHeld whether a program has its file,
	// and isUnfit whether VPP cannot take it up: the relay made it, with one queue.
	isThere, isHeld, isUnfit bool
}

// tapKind is the kernel's name for taps, and tapWord begins VPP's names of them.
const tapKind, tapWord = "tun", "tap"

// maxNetns is the longest path of a namespace that VPP takes, maxTapID its highest
// number of a tap (TAP_MAX_INSTANCE).
const maxNetns, maxTapID = 63, 8192

// tapEnd is where VPP has a tap.
type tapEnd struct {
	id          uint32
	netns, name string
}

func (e tapEnd) place() string { return filepath.Join(e.netns, e.name) }

func endOf(p desired.PodEnd) tapEnd { return tapEnd{netns: p.Netns.Path, name: p.Name} }

// makesTaps asks a VPP whether it makes taps in pods: it has to be let into
// namespaces, and to have /dev/vhost-net. The rings that are asked for cannot be, and
// are the last thing that VPP looks at before the tap is there.
func makesTaps(ctx context.Context, conn *vppapi.Conn) (bool, error) {
	for _, m := range []api.Message{
		&tapv2.TapCreateV3{}, &tapv2.TapCreateV3Reply{}, &tapv2.TapDeleteV2{}, &tapv2.TapDeleteV2Reply{},
		&tapv2.SwInterfaceTapV2Dump{}, &tapv2.SwInterfaceTapV2Details{},
	} {
		if !conn.Has(m) {
			return false, nil
		}
	}
	const impossible, own = 3, "/proc/self/ns/net"
	makes := false
	var b vppapi.Batch
	b.Call(&tapv2.TapCreateV3{
		ID: ^uint32(0), UseRandomMac: true, NumRxQueues: 1, NumTxQueues: 1, RxRingSz: impossible, TxRingSz: impossible,
		HostNamespaceSet: true, HostNamespace: own,
	}, &tapv2.TapCreateV3Reply{}).OnError(func(err error) error {
		if makes = isVPP(err, api.INIT_FAILED); makes || isVPP(err, api.SYSCALL_ERROR_1, api.SYSCALL_ERROR_2, api.SYSCALL_ERROR_3, api.UNSUPPORTED, api.NETLINK_ERROR) {
			return nil
		}
		return err
	})
	return makes, conn.Do(ctx, &b)
}

// askTap asks for a tap, which VPP makes in the pod, or takes up there: it outlives a
// VPP that crashes. It comes with its tag.
func (k *known) askTap(b *vppapi.Batch, p tapPort, reply *tapv2.TapCreateV3Reply) *vppapi.Request {
	ring, queues := uint16(p.ring), uint16(p.Queues) //nolint:gosec // both are short
	return b.Call(&tapv2.TapCreateV3{
		ID: k.reserveTap(p.tag), MacAddress: macOf(p.SwitchMAC), NumRxQueues: queues, NumTxQueues: queues, RxRingSz: ring, TxRingSz: ring,
		HostMacAddrSet: true, HostMacAddr: macOf(p.Pod.MAC),
		HostNamespaceSet: true, HostNamespace: p.Pod.Netns.Path, HostIfNameSet: true, HostIfName: p.Pod.Name,
		TapFlags: tapv2.TAP_API_FLAG_GSO | tapv2.TAP_API_FLAG_ATTACH | tapv2.TAP_API_FLAG_PERSIST, Tag: p.tag,
	}, reply).Slow()
}

// tapRefused takes VPP's error: nil where another try will do.
func (k *known) tapRefused(p *tapPort, err error) error {
	switch {
	case p.isThere && isVPP(err, api.SYSCALL_ERROR_3):
		p.isUnfit = true
		return nil
	case isVPP(err, api.INVALID_INTERFACE) && k.skipTap(p.tag):
		return nil
	case isVPP(err, api.SYSCALL_ERROR_2):
		err = fmt.Errorf("%w (VPP does not see the pod's namespace: it must have the path)", err)
	}
	return say(err, "make tap %s", endOf(p.Pod).place())
}

// skipTap leaves the number of a port's tap to somebody else, who has it in VPP.
func (k *known) skipTap(tag string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.tapIDs[tag]
	delete(k.tapIDs, tag)
	k.tapIDs[fmt.Sprintf("%s%d", tapWord, id)] = id
	return ok
}

func deleteTap(b *vppapi.Batch, i ifIndex) {
	b.Call(&tapv2.TapDeleteV2{SwIfIndex: i}, &tapv2.TapDeleteV2Reply{}).Slow().OnError(func(err error) error {
		if isGone(err) {
			return nil
		}
		return say(err, "remove tap")
	})
}

// reserveTap gives the number of a port's tap: the lowest that is free, so that its
// name is known, which VPP does not tell.
func (k *known) reserveTap(tag string) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id, ok := k.tapIDs[tag]; ok {
		return id
	}
	taken := map[uint32]bool{}
	for _, id := range k.tapIDs {
		taken[id] = true
	}
	id := uint32(0)
	for taken[id] && id < maxTapID {
		id++
	}
	k.tapIDs[tag] = id
	return id
}

// learnTaps takes the numbers that VPP's taps have, beside those that are asked for;
// under mu.
func (k *known) learnTaps(v *view) {
	for tag := range k.tapIDs {
		if k.making[tag] == 0 {
			delete(k.tapIDs, tag)
		}
	}
	for _, i := range v.ifs {
		if i.tap == nil {
			continue
		}
		tag := i.tag
		if k.owners[i.index] == (desired.Owner{}) {
			tag = i.name // somebody else's
		}
		k.tapIDs[tag] = i.tap.id
	}
}

// makeTaps has VPP make its own taps: before the kernel's part of them.
func (s *session) makeTaps(ctx context.Context, ports []*port) error {
	var taps []*port
	for _, p := range ports {
		if p.tap == nil {
			continue
		}
		taps = append(taps, p)
		defer s.k.setMaking(p.tag)()
		if err := s.lookAtTap(ctx, p); err != nil {
			return named(p.Port, err)
		}
	}
	if len(taps) == 0 {
		return nil
	}
	return s.makeInterfaces(ctx, taps)
}

// lookAtTap looks at what has the tap's name in the pod. What is another's is left
// alone; VPP would take a tap of that name up.
func (s *session) lookAtTap(ctx context.Context, p *port) error {
	if path := p.Pod.Netns.Path; len(path) > maxNetns {
		return fmt.Errorf("namespace %s: its path has %d bytes, and VPP takes %d", path, len(path), maxNetns)
	}
	link, err := linkIn(p.Pod.Netns, p.Pod.Name)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	if link.Kind != tapKind || link.MAC != p.Pod.MAC {
		return fmt.Errorf("link %s: %w", link.Name, dataplane.ErrTaken)
	}
	p.tap.isThere, p.tap.isHeld = true, link.Carrier
	if !link.Carrier {
		return nil
	}
	v, err := s.look(ctx)
	if err != nil {
		return err
	}
	p.exists = v.tapAt(endOf(p.Pod)) != nil
	if !p.exists {
		// Of those who have files of ours it is the relay, from a time when VPP could not.
		return s.config.Relay.Detach(ctx, []string{s.ports.TapID(s.owner, p.Pod.Name)})
	}
	return nil
}

// replaceUnfit removes a device that VPP cannot take up, so that it makes its own.
func (p *tapPort) replaceUnfit() error {
	p.isUnfit, p.isThere, p.isHeld = false, false, false
	return inPod(p.Pod.Netns, func(socket *nl.Socket) error {
		link, err := socket.Link(p.Pod.Name)
		if err != nil {
			return err
		}
		var b nl.Batch
		b.DelLink(link.Index)
		return socket.Do(&b)
	})
}

// dropLeft removes the devices that a VPP left which made taps itself, and which the
// relay cannot take up; it reports whether there were any.
func (s *session) dropLeft(wanted []desired.Object) bool {
	dropped := false
	for _, o := range wanted {
		t, isTap := o.(desired.Tap)
		if !isTap || s.k.ownTaps {
			continue
		}
		link, err := linkIn(t.Pod.Netns, t.Pod.Name)
		if err != nil || link.Kind != tapKind || link.MAC != t.Pod.MAC || link.Carrier {
			continue
		}
		p := tapPort{Tap: t}
		dropped = p.replaceUnfit() == nil || dropped
	}
	return dropped
}

// linkIn looks for a link in a pod.
func linkIn(ns model.Netns, name string) (link nl.Link, err error) {
	err = inPod(ns, func(socket *nl.Socket) (err error) {
		link, err = socket.Link(name)
		return err
	})
	return link, err
}

// inPod acts in a pod.
func inPod(ns model.Netns, act func(*nl.Socket) error) error {
	h, err := netns.OpenExact(ns)
	if errors.Is(err, netns.ErrGone) {
		return fmt.Errorf("%w (%w)", dataplane.ErrNetnsGone, err)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	socket, err := nl.NewSocket(h)
	if err != nil {
		return err
	}
	defer socket.Close()
	return act(socket)
}

// adoptTap gives the tap that is there if it is as wanted. One of ours that is not
// goes; by its MAC it is known for ours too, whatever tag it was given.
func (s *session) adoptTap(ctx context.Context, v *view, p *port) (*iface, error) {
	i := v.tapAt(endOf(p.Pod))
	if i == nil {
		i = v.tags[p.tag] // from a time when the relay had the tap
	}
	if i == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if i.tag != p.tag && i.tag != "" && i.mac != p.SwitchMAC {
		return nil, fmt.Errorf("interface %s has the tag %q: %w: %w", i.name, i.tag, dataplane.ErrTaken, api.IF_ALREADY_EXISTS)
	}
	if i.tap != nil && p.tap.isThere && p.tap.isHeld && i.mac == p.SwitchMAC {
		return i, nil
	}
	// VPP keeps an interface whose device went away, and one that has its name now
	// is another.
	s.view = nil
	return nil, s.drop(ctx, i)
}

// drop removes an interface that has a port's place.
func (s *session) drop(ctx context.Context, i *iface) error {
	leave, err := s.k.gate.enter(ctx, toTurn)
	if err != nil {
		return err
	}
	defer leave()
	var b vppapi.Batch
	s.k.uncheck(&b, i.index)
	if i.tap != nil {
		deleteTap(&b, i.index)
	} else {
		deleteMemif(&b, i.index)
		s.k.countMemifs(-1)
	}
	return s.k.conn.Do(ctx, &b)
}

// tapAt finds the tap that VPP has in a place.
func (v *view) tapAt(end tapEnd) *iface {
	for _, i := range v.ifs {
		if i.tap != nil && i.tap.place() == end.place() {
			return i
		}
	}
	return nil
}

// netnsOf is the namespace that a tap is in, as far as its path tells.
func (e tapEnd) netnsOf() model.Netns {
	h, err := netns.Open(e.netns)
	if err != nil {
		return model.Netns{}
	}
	defer h.Close()
	return model.Netns{Path: e.netns, Inode: h.Inode()}
}
