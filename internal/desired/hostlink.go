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

// HostLink joins a switch that is not the node's kernel to the node's network
// namespace: what pods send to others than pods goes to the node over it, and what
// the node has for them comes that way.
type HostLink struct {
	// Name is that of the node's end, and of the whole.
	Name string
	// Switch and Host are the ends' addresses, one of each family, with the
	// length of the range that both are in; IPv4 before IPv6.
	Switch, Host       []netip.Prefix
	SwitchMAC, HostMAC model.MAC
	// MTU is that of both ends, in bytes without the Ethernet header.
	MTU int
	// Pods are the ranges that the node sends over it.
	Pods []netip.Prefix
}

// Key implements Object.
func (h HostLink) Key() Key { return Key{Kind: KindHostLink, Name: h.Name} }

// Equal implements Object.
func (h HostLink) Equal(o Object) bool {
	other, ok := o.(HostLink)
	return ok && h.Name == other.Name && h.SwitchMAC == other.SwitchMAC && h.HostMAC == other.HostMAC && h.MTU == other.MTU &&
		slices.Equal(h.Switch, other.Switch) && slices.Equal(h.Host, other.Host) && slices.Equal(h.Pods, other.Pods)
}

// String implements Object.
func (h HostLink) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s mtu %d mac %s switch-mac %s", h.Key(), h.MTU, h.HostMAC, h.SwitchMAC)
	for _, a := range h.Switch {
		fmt.Fprintf(&b, " switch %s", a)
	}
	for _, a := range h.Host {
		fmt.Fprintf(&b, " host %s", a)
	}
	for _, p := range h.Pods {
		fmt.Fprintf(&b, " pods %s", p)
	}
	return b.String()
}

func (HostLink) object() {}
