// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package desired

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// ServiceKey identifies one port of a Kubernetes service in one address family. It
// is comparable.
type ServiceKey struct {
	Service  model.ServiceRef
	Port     string // the port's name
	Protocol model.Protocol
	IPv6     bool
}

// String renders the key: NAMESPACE/NAME[:PORT] PROTOCOL IPv4|IPv6.
func (k ServiceKey) String() string {
	name := k.Service.String()
	if k.Port != "" {
		name += ":" + k.Port
	}
	family := "IPv4"
	if k.IPv6 {
		family = "IPv6"
	}
	return name + " " + string(k.Protocol) + " " + family
}

// Service has the switch send what comes for one port of a Kubernetes service to
// its backends. It is no Object: it belongs to no owner, and there may be ten
// thousand.
type Service struct {
	Key       ServiceKey
	Frontends []Frontend
	// Backends are those that get new connections, each once. Without one for a
	// frontend, connections are refused, not left without an answer.
	Backends []Backend
	// Leaving serve what is asked for at frontends with Local, and nothing else: those
	// on this node that are on their way out, where none of Backends is on it. Without
	// such frontends there are none.
	Leaving []Backend
	// Affinity is for how long, in seconds, a client keeps its backend; 0 is not.
	Affinity int
}

// FrontendKind says where a frontend is asked for.
type FrontendKind uint8

// The kinds of frontends.
const (
	FrontendCluster FrontendKind = iota + 1
	FrontendExternal
	FrontendLoadBalancer
	FrontendNode
)

// String is the word for people.
func (k FrontendKind) String() string {
	switch k {
	case FrontendCluster:
		return "cluster"
	case FrontendExternal:
		return "external"
	case FrontendLoadBalancer:
		return "load-balancer"
	case FrontendNode:
		return "node-port"
	default:
		return "unknown"
	}
}

// Frontend is an address and port at which a service is asked for.
type Frontend struct {
	Kind FrontendKind
	// Address is the zero value for FrontendNode: it is every address of the node.
	Address netip.Addr
	Port    uint16
	// Local restricts the frontend to Service.OnNode, and keeps the client's
	// address where it can.
	Local bool
	// Sources bounds who may use it; empty is everybody.
	Sources []netip.Prefix
}

// Backend is an address and port that serves.
type Backend struct {
	Address netip.Addr
	Port    uint16
	// Local says that it is on this node.
	Local bool
	// Main is the address of the main interface of the backend's pod, where Address
	// is of another: by it the pod asks, should it ask itself. It is the zero value
	// elsewhere.
	Main netip.Addr
}

// Equal reports whether the other service has the same key and content. The order
// of frontends and of backends means nothing.
func (s Service) Equal(o Service) bool {
	return s.Key == o.Key && s.Affinity == o.Affinity &&
		sameInAnyOrder(s.Backends, o.Backends, Backend.Compare) && sameInAnyOrder(s.Leaving, o.Leaving, Backend.Compare) &&
		sameInAnyOrder(s.Frontends, o.Frontends, Frontend.Compare)
}

// HasLocal reports whether a frontend leads to what is on this node alone.
func (s Service) HasLocal() bool {
	return slices.ContainsFunc(s.Frontends, func(f Frontend) bool { return f.Local })
}

// OnNode lists what serves at frontends with Local, in the order that there is.
func (s Service) OnNode() []Backend {
	var list []Backend
	for _, b := range s.Backends {
		if b.Local {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		return s.Leaving
	}
	return list
}

func sameInAnyOrder[T any](a, b []T, compare func(T, T) int) bool {
	same := func(x, y T) bool { return compare(x, y) == 0 }
	return len(a) == len(b) && (slices.EqualFunc(a, b, same) ||
		slices.EqualFunc(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare), same))
}

// Compare orders backends, by address and port first.
func (b Backend) Compare(o Backend) int {
	// Ten thousand are sorted, and their addresses nearly always differ.
	if c := b.Address.Compare(o.Address); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(b.Port, o.Port), compareBool(b.Local, o.Local), b.Main.Compare(o.Main))
}

// Compare orders frontends, by kind, address and port first.
func (f Frontend) Compare(o Frontend) int {
	return cmp.Or(cmp.Compare(f.Kind, o.Kind), f.Address.Compare(o.Address), cmp.Compare(f.Port, o.Port),
		compareBool(f.Local, o.Local), slices.CompareFunc(f.Sources, o.Sources, comparePrefixes))
}

// compareBool has false before true.
func compareBool(a, b bool) int {
	return strings.Compare(strconv.FormatBool(a), strconv.FormatBool(b))
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// String is one line.
func (s Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s", s.Key)
	for _, f := range s.Frontends {
		fmt.Fprintf(&b, " %s", f)
	}
	for _, e := range s.Backends {
		fmt.Fprintf(&b, " -> %s", e)
	}
	for _, e := range s.Leaving {
		fmt.Fprintf(&b, " -> %s (leaving)", e)
	}
	if s.Affinity > 0 {
		fmt.Fprintf(&b, " affinity %ds", s.Affinity)
	}
	return b.String()
}

// String renders the backend: ADDRESS:PORT, and what is special about it.
func (b Backend) String() string {
	text := netip.AddrPortFrom(b.Address, b.Port).String()
	if b.Local {
		text += " (local)"
	}
	if b.Main.IsValid() {
		text += " (of " + b.Main.String() + ")"
	}
	return text
}

// String renders the frontend: KIND ADDRESS:PORT.
func (f Frontend) String() string {
	at := fmt.Sprintf("*:%d", f.Port)
	if f.Address.IsValid() {
		at = netip.AddrPortFrom(f.Address, f.Port).String()
	}
	var text strings.Builder
	text.WriteString(f.Kind.String() + " " + at)
	if f.Local {
		text.WriteString(" local")
	}
	for _, p := range f.Sources {
		text.WriteString(" from " + p.String())
	}
	return text.String()
}
