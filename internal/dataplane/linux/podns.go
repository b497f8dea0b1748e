// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// pod is an open pod namespace. Not for concurrent use.
type pod struct {
	ns     *netns.Handle
	socket *nl.Socket
	nsid   int // the id that the node's namespace has for it
	sysctl sysctls
}

func openPod(id model.Netns) (*pod, error) {
	ns, err := netns.OpenExact(id)
	if errors.Is(err, netns.ErrGone) {
		return nil, fmt.Errorf("%w (%w)", dataplane.ErrNetnsGone, err)
	}
	if err != nil {
		return nil, err
	}
	socket, err := nl.NewSocket(ns)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return &pod{ns: ns, socket: socket}, nil
}

func (p *pod) close() {
	_ = p.socket.Close() // only reading: nothing is lost
	_ = p.ns.Close()
}

// pod opens the pod's namespace once per session, and sees to it that the
// events of the namespace reach the watch.
func (s *session) pod(id model.Netns) (*pod, error) {
	if p := s.pods[id]; p != nil {
		return p, nil
	}
	p, err := openPod(id)
	if err != nil {
		return nil, err
	}
	s.pods[id], p.sysctl = p, s.driver.node.sysctl
	if p.nsid, err = s.driver.node.socket.NSID(p.ns); err != nil {
		return nil, err
	}
	s.driver.index.setNamespace(s.owner, p.nsid)
	return p, nil
}

// pairs reports whether two ends of veths, the switch's and one in the pod, are
// each other's. A link's number is one of its namespace alone, so the switch's
// end must name the pod's, too. The socket is of the switch's namespace, for
// which the node's has the id nsid.
func (p *pod) pairs(socket *nl.Socket, nsid int, inSwitch, inPod nl.Link) (bool, error) {
	if inPod.Kind != "veth" || inPod.Peer != inSwitch.Index || inSwitch.Peer != inPod.Index {
		return false, nil
	}
	id := p.nsid
	if nsid != nl.OwnNamespace { // it has ids of its own
		var err error
		if id, err = socket.FindNSID(p.ns); err != nil {
			return false, err
		}
	}
	return id != nl.OwnNamespace && id == inSwitch.PeerNamespace, nil
}
