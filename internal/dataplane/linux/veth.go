// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
)

// makeVeth makes the pair where it is missing, each end in its own namespace
// from birth, and brings both ends to what the port says.
func (s *session) makeVeth(v desired.Veth) error {
	space, err := s.driver.space(v.Network)
	if err != nil {
		return err
	}
	pod, err := s.pod(v.Pod.Netns)
	if err != nil {
		return err
	}
	born, err := s.bornVeth(space, pod, v)
	if err != nil {
		return err
	}
	if err := s.switchEnd(space, born, v.Port); err != nil {
		return err
	}
	link, err := pod.nl.LinkByName(v.Pod.Name)
	if err != nil {
		return fmt.Errorf("find the pod's end: %w", err)
	}
	if err := s.podEnd(pod, link, v.Port); err != nil {
		return err
	}
	return settle(space, born.Attrs().Index)
}

// settle makes sure that a switch end sends. It was brought up while its peer
// was down, so it has no queueing discipline but the one that drops, until the
// kernel's link watch comes round to it. To ask for the link makes it come at
// once (Linux 6.8 and later); where the answer says that it did not, giving the
// link the discipline that it is to have does the same.
func settle(space *space, index int) error {
	link, err := space.nl.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("look at the switch's end: %w", err)
	}
	if link.Attrs().OperState == netlink.OperUp {
		return nil
	}
	err = space.nl.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT},
		QdiscType:  "noqueue",
	})
	if err != nil {
		return fmt.Errorf("have the switch's end send: %w", err)
	}
	return nil
}

// bornVeth gives the switch end. A pair that is there is kept if both its ends
// are where they belong.
func (s *session) bornVeth(space *space, pod *pod, v desired.Veth) (netlink.Link, error) {
	name := linkName(s.owner, v.Pod.Name)
	veth := newVeth(name, pod, v)
	err := space.nl.LinkAdd(veth)
	failpoint.Hit("veth-create")
	if err == nil {
		return veth, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("create veth: %w", err)
	}
	old, err := space.nl.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("create veth: %w", dataplane.ErrTaken) // it is the pod's end that exists
	}
	if err != nil {
		return nil, fmt.Errorf("look at link %s: %w", name, err)
	}
	switch ownershipOf(old.Attrs(), s.owner, v.Pod.Name) {
	case foreign:
		return nil, fmt.Errorf("create veth: link %s: %w", name, dataplane.ErrTaken)
	case ours, halfMade:
		if peerInPod(old, pod, v.Pod.Name) {
			return old, nil
		}
	case leaving:
	}
	if err := space.nl.LinkDel(old); err != nil {
		return nil, fmt.Errorf("delete the old link %s: %w", name, err)
	}
	if err := space.nl.LinkAdd(veth); err != nil {
		if errors.Is(err, unix.EEXIST) {
			err = dataplane.ErrTaken
		}
		return nil, fmt.Errorf("create veth: %w", err)
	}
	return veth, nil
}

func newVeth(name string, pod *pod, v desired.Veth) *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = v.MTU
	attrs.HardwareAddr = net.HardwareAddr(v.SwitchMAC[:])
	attrs.Group = portGroup
	return &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         v.Pod.Name,
		PeerHardwareAddr: net.HardwareAddr(v.Pod.MAC[:]),
		PeerNamespace:    netlink.NsFd(pod.ns.FD()),
		PeerMTU:          uint32(v.MTU),
		PeerTxQLen:       -1,
	}
}

// peerInPod reports whether the switch end's peer is the interface of that
// name in the pod.
func peerInPod(link netlink.Link, pod *pod, name string) bool {
	peer, err := pod.nl.LinkByName(name)
	return err == nil && peer.Type() == "veth" &&
		peer.Attrs().ParentIndex == link.Attrs().Index && link.Attrs().ParentIndex == peer.Attrs().Index
}
