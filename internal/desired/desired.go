// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package desired holds the nouns of the plan: what a node's dataplane should
// have, as plain values with a key, an equality and a one-line text form. The
// text is what an operator reads and what golden files hold. Nothing here does
// I/O or knows how a dataplane makes these things.
package desired

import (
	"github.com/polynic/polynic/internal/model"
)

// Owner says for whom an object exists: one attachment, or (the zero value)
// the node itself.
type Owner = model.AttachmentID

// Kind orders objects: one of a lower kind is made before, and removed after,
// one of a higher kind.
type Kind uint8

// The kinds of objects.
const (
	KindNetwork Kind = iota + 1
	KindHostLink
	KindVeth
	KindTap
	KindMemif
	KindNeighbor
	KindRoute
)

// String is the first word of an object's text form.
func (k Kind) String() string {
	switch k {
	case KindNetwork:
		return "network"
	case KindHostLink:
		return "host-link"
	case KindVeth:
		return "veth"
	case KindTap:
		return "tap"
	case KindMemif:
		return "memif"
	case KindNeighbor:
		return "neighbor"
	case KindRoute:
		return "route"
	default:
		return "unknown"
	}
}

// Key identifies an object within a node. It is comparable.
type Key struct {
	Owner Owner
	Kind  Kind
	// Name tells objects of one owner and kind apart: the interface name for
	// ports, the network for networks, the address for routes and neighbours.
	Name string
}

// String renders the key: KIND OWNER NAME.
func (k Key) String() string {
	owner := "node"
	if !k.Owner.IsZero() {
		owner = k.Owner.String()
	}
	return k.Kind.String() + " " + owner + " " + k.Name
}

// Object is one thing the dataplane should have. The set of implementations is
// closed: Network, HostLink, Veth, Tap, Memif, Neighbor, Route.
//
//sumtype:decl
type Object interface {
	Key() Key
	// Equal reports whether the other object has the same key and content.
	Equal(Object) bool
	// String is one line: the key's words first, then the content.
	String() string

	object()
}
