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
	// Backends are those that get new connections, in a fixed order. Without one
	// for a frontend, connections are refused, not left without an answer.
	Backends []Backend
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
	// Local restricts the frontend to backends with Local, and keeps the client's
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
}

// Equal reports whether the other service has the same key and content.
func (s Service) Equal(o Service) bool {
	return s.Key == o.Key && s.Affinity == o.Affinity && slices.Equal(s.Backends, o.Backends) &&
		slices.EqualFunc(s.Frontends, o.Frontends, Frontend.Equal)
}

// Equal reports whether the other frontend is the same.
func (f Frontend) Equal(o Frontend) bool {
	return f.Kind == o.Kind && f.Address == o.Address && f.Port == o.Port && f.Local == o.Local && slices.Equal(f.Sources, o.Sources)
}

// String is one line.
func (s Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s", s.Key)
	for _, f := range s.Frontends {
		fmt.Fprintf(&b, " %s", f)
	}
	for _, e := range s.Backends {
		fmt.Fprintf(&b, " -> %s", netip.AddrPortFrom(e.Address, e.Port))
		if e.Local {
			b.WriteString(" (local)")
		}
	}
	if s.Affinity > 0 {
		fmt.Fprintf(&b, " affinity %ds", s.Affinity)
	}
	return b.String()
}

// String renders the frontend: KIND ADDRESS:PORT.
func (f Frontend) String() string {
	at := fmt.Sprintf("*:%d", f.Port)
	if f.Address.IsValid() {
		at = netip.AddrPortFrom(f.Address, f.Port).String()
	}
	text := f.Kind.String() + " " + at
	if f.Local {
		text += " local"
	}
	for _, p := range f.Sources {
		text += " from " + p.String()
	}
	return text
}
