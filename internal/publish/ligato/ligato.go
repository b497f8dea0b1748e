// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package ligato knows what the ligato agent that a pod runs for itself wants to
// be told: which keys it watches in etcd, and, to the byte, the values that
// Contiv-VPP wrote there. It computes them and does no I/O.
package ligato

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// agents is where the ligato agents of a cluster have their configuration, each
// below its label.
const agents = "/vnf-agent/"

// Prefix is what every key of the agent with that label begins with.
func Prefix(label string) string { return agents + label + "/" }

// Pod is what a pod's own agent is to configure.
type Pod struct {
	// Label is the agent's (its MICROSERVICE_LABEL).
	Label string
	// Interfaces are the pod's custom ones, in annotation order.
	Interfaces []Interface
}

// Interface is one interface, seen from within the pod.
type Interface struct {
	// Name is unique in the pod.
	Name    string
	Type    podif.Type
	Network string
	// Addresses are the interface's own, each with all its bits as prefix, IPv4
	// before IPv6; none on stub and L2 networks.
	Addresses []netip.Prefix
	// Gateways are the network's on this node, at most one per family, and
	// GatewayMAC what answers at their addresses.
	Gateways   []netip.Addr
	GatewayMAC model.MAC
	// Subnets are all that the network has for pods, on any node.
	Subnets []netip.Prefix
	// MemifID, MemifSocket (the path as the pod's containers see it) and Secret are
	// a memif's.
	MemifID     uint32
	MemifSocket string
	Secret      model.Secret
}

// Form is how the keys of routes in a pod's VPP are written. Agents of release
// 2.1.1 drop a value whose key is not the one that they would have chosen; later
// ones choose another, and accept either.
type Form string

// The forms of keys.
const (
	// FormV2 is that of release 2.1.1.
	FormV2 Form = "v2.1.1"
	// FormV3 is that of release 2.2 and later.
	FormV3 Form = "v3"
	// FormBoth writes a route under either key.
	FormBoth Form = "both"
)

// DefaultForm is that which every agent reads.
const DefaultForm = FormBoth

// ParseForm reads a setting; an empty one is DefaultForm.
func ParseForm(text string) (Form, error) {
	switch f := Form(text); f {
	case "":
		return DefaultForm, nil
	case FormV2, FormV3, FormBoth:
		return f, nil
	default:
		return "", fmt.Errorf("key form %q is not known (want %s, %s or %s)", text, FormV2, FormV3, FormBoth)
	}
}

// Item is one key and its value, which may hold a secret: neither printed nor
// logged is it shown.
type Item struct {
	Key string
	// Value is JSON in one line.
	Value []byte `json:"-"`
}

// String gives the key, and of the value the length.
func (i Item) String() string { return fmt.Sprintf("%s (%d bytes)", i.Key, len(i.Value)) }

// GoString is String.
func (i Item) GoString() string { return i.String() }

// LogValue implements slog.LogValuer without the value.
func (i Item) LogValue() slog.Value { return slog.StringValue(i.String()) }

// Format implements fmt.Formatter without the value, for any verb.
func (i Item) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, i.String()) }

// checkElement refuses what cannot be one element of a key: an agent that finds
// another structure in a key drops it.
func checkElement(what, text string) error {
	if text == "" || text == "." || text == ".." || strings.Contains(text, "/") {
		return fmt.Errorf("%s %q cannot be part of a key in etcd", what, text)
	}
	return nil
}
