// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// Memif is a port whose pod end is an application that connects to a socket, of
// which the switch is the master.
type Memif struct {
	Port
	// ID tells the memifs of one socket apart.
	ID uint32
	// Folder, on the node, is the one that the socket is in. Only processes in the
	// pod's namespace that know the secret are connected.
	Folder string
	Secret model.Secret
	// AcceptUnsealed lets in applications that could take their memory away.
	AcceptUnsealed bool
	// QueuePairs and RingSize, in slots, are the most that an application gets.
	QueuePairs, RingSize int
	// Queues is the number of queue pairs between the rings and the network.
	Queues int
	// Gateways are the addresses that the switch's end answers for, to ARP and
	// neighbour discovery, and asks from: an application has no permanent
	// neighbours, and may have another MAC than it was told to use.
	Gateways []netip.Addr
}

// Key implements Object.
func (m Memif) Key() Key { return m.key(KindMemif) }

// Equal implements Object.
func (m Memif) Equal(o Object) bool {
	other, ok := o.(Memif)
	return ok && m.equal(other.Port) && m.ID == other.ID && m.Folder == other.Folder && m.Secret.Equal(other.Secret) &&
		m.AcceptUnsealed == other.AcceptUnsealed && m.QueuePairs == other.QueuePairs && m.RingSize == other.RingSize &&
		m.Queues == other.Queues && slices.Equal(m.Gateways, other.Gateways)
}

// String implements Object. The secret is not shown.
func (m Memif) String() string {
	var b strings.Builder
	b.WriteString(m.Key().String() + m.text())
	fmt.Fprintf(&b, " id %d folder %s rings %dx%d queues %d", m.ID, m.Folder, m.QueuePairs, m.RingSize, m.Queues)
	if m.AcceptUnsealed {
		b.WriteString(" accept-unsealed")
	}
	for _, g := range m.Gateways {
		fmt.Fprintf(&b, " gateway %s", g)
	}
	return b.String()
}

func (Memif) object() {}
