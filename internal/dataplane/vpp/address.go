// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"net/netip"

	"go.fd.io/govpp/binapi/ethernet_types"
	"go.fd.io/govpp/binapi/fib_types"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip_types"

	"github.com/polynic/polynic/internal/model"
)

// ifIndex is VPP's number of an interface (sw_if_index); none is what no interface
// has.
type ifIndex = interface_types.InterfaceIndex

const none = ^ifIndex(0)

func macOf(m model.MAC) ethernet_types.MacAddress { return ethernet_types.MacAddress(m) }

func familyOf(a netip.Addr) ip_types.AddressFamily {
	if a.Is4() {
		return ip_types.ADDRESS_IP4
	}
	return ip_types.ADDRESS_IP6
}

func addressOf(a netip.Addr) ip_types.Address {
	return ip_types.Address{Af: familyOf(a), Un: unionOf(a)}
}

func unionOf(a netip.Addr) ip_types.AddressUnion {
	var u ip_types.AddressUnion
	switch {
	case a.Is4():
		u.SetIP4(a.As4())
	case a.Is6():
		u.SetIP6(a.As16())
	}
	return u
}

func prefixOf(p netip.Prefix) ip_types.Prefix {
	return ip_types.Prefix{Address: addressOf(p.Addr()), Len: uint8(p.Bits())} //nolint:gosec // at most 128
}

func fromAddress(a ip_types.Address) netip.Addr {
	if a.Af == ip_types.ADDRESS_IP4 {
		return netip.AddrFrom4(a.Un.GetIP4())
	}
	return netip.AddrFrom16(a.Un.GetIP6())
}

func fromPrefix(p ip_types.Prefix) netip.Prefix {
	return netip.PrefixFrom(fromAddress(p.Address), int(p.Len))
}

func protoOf(a netip.Addr) fib_types.FibPathNhProto {
	if a.Is4() {
		return fib_types.FIB_API_PATH_NH_PROTO_IP4
	}
	return fib_types.FIB_API_PATH_NH_PROTO_IP6
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// anywhere is the default route's destination, of the address's family.
func anywhere(like netip.Addr) netip.Prefix {
	if like.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
