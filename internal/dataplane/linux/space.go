// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"sync"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// space is the namespace that a network's ports are in.
type space struct {
	network string // or anyNetwork
	path    string // where it is pinned; empty for the node's own
	pins    netns.Pins
	sysctl  sysctls

	mu     sync.Mutex // guards opening; the rest is set once
	ns     *netns.Handle
	socket *nl.Socket
	// nsid is the id that the node's namespace has for it.
	nsid int
}

// relayNetns is how the relay is told of the space.
func (s *space) relayNetns() (path string, inode uint64) {
	if s.path == "" {
		return "", 0
	}
	return s.path, s.ns.Inode()
}

// open makes the space usable, pinning its namespace where it is not yet. The
// node's namespace gives it an id, so that its events reach the watch.
func (s *space) open(node *space) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return nil
	}
	if s.ns != nil {
		return s.repin()
	}
	if err := s.pins.Pin(s.path); err != nil {
		return err
	}
	ns, err := netns.Open(s.path)
	if err != nil {
		return err
	}
	if err := s.use(ns); err != nil {
		return err
	}
	if err := ns.Do(func() error { return s.sysctl.obeyNobody("default") }); err != nil {
		return errors.Join(err, s.letGo())
	}
	if s.nsid, err = node.socket.NSID(ns); err != nil {
		return errors.Join(err, s.letGo())
	}
	return nil
}

// use takes over the namespace, with a socket in it.
func (s *space) use(ns *netns.Handle) error {
	socket, err := nl.NewSocket(ns)
	if err != nil {
		return errors.Join(err, ns.Close())
	}
	s.ns, s.socket = ns, socket
	return nil
}

// deleteLink waits the kernel's grace period; for what cannot wait for a Reap.
func (s *space) deleteLink(index int) error {
	var b nl.Batch
	b.DelLink(index)
	return s.socket.Do(&b)
}

// do carries out a batch; an empty one also in a space that nobody opened.
func (s *space) do(b *nl.Batch) error {
	if b.Empty() {
		return nil
	}
	return s.socket.Do(b)
}

// repin puts the namespace back where somebody took its path away; the open
// handle kept it and the ports in it alive.
func (s *space) repin() error {
	if s.ns.Pinned(s.path) {
		return nil
	}
	return s.pins.PinOpen(s.ns, s.path)
}

// exists reports whether the space can be used; a namespace pinned by an
// earlier agent is opened.
func (s *space) exists(node *space) (bool, error) {
	s.mu.Lock()
	opened := s.ns != nil
	s.mu.Unlock()
	if s.path == "" {
		return true, nil
	}
	if opened {
		return s.ns.Pinned(s.path), nil
	}
	h, err := netns.Open(s.path)
	if errors.Is(err, netns.ErrGone) || errors.Is(err, netns.ErrNotNetns) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(h.Close(), s.open(node))
}

func (s *space) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ns != nil
}

func (s *space) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.letGo()
}

// letGo closes everything; under mu.
func (s *space) letGo() error {
	if s.ns == nil {
		return nil
	}
	err := errors.Join(s.socket.Close(), s.ns.Close())
	s.ns, s.socket = nil, nil
	return err
}

// spaces are the namespaces that ports can be in.
func (d *Driver) spaces() []*space {
	if d.portsOnly {
		return []*space{d.node}
	}
	return []*space{d.node, d.stub}
}

// takes reports whether a network's ports are in the space.
func (s *space) takes(network string) bool { return s.network == network || s.network == anyNetwork }

// space finds the namespace of a network.
func (d *Driver) space(network string) (*space, error) {
	for _, s := range d.spaces() {
		if s.takes(network) && s.usable() {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no network %q", network)
}

// remove unpins the namespace; it goes once no port is in it any more.
func (s *space) remove() error { return errors.Join(s.close(), s.pins.Unpin(s.path)) }
