// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"net/netip"
	"slices"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_types"
)

// address is an address of VPP's.
func address(a ip_types.Address) netip.Addr {
	if a.Af == ip_types.ADDRESS_IP4 {
		return netip.AddrFrom4(a.Un.GetIP4())
	}
	return netip.AddrFrom16(a.Un.GetIP6())
}

// prefix is a prefix of VPP's, with the address as it is.
func prefix(p ip_types.Prefix) netip.Prefix { return netip.PrefixFrom(address(p.Address), int(p.Len)) }

func toAddress(a netip.Addr) ip_types.Address {
	if a.Is4() {
		return ip_types.Address{Af: ip_types.ADDRESS_IP4, Un: ip_types.AddressUnionIP4(a.As4())}
	}
	return ip_types.Address{Af: ip_types.ADDRESS_IP6, Un: ip_types.AddressUnionIP6(a.As16())}
}

func toPrefix(p netip.Prefix) ip_types.Prefix {
	return ip_types.Prefix{Address: toAddress(p.Addr()), Len: uint8(p.Bits())}
}

func (w *world) addDelAddress(q *interfaces.SwInterfaceAddDelAddress) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	p := prefix(ip_types.Prefix(q.Prefix))
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case q.DelAll:
		i.addresses = nil
		return ok
	case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
		return api.ADDRESS_LENGTH_MISMATCH // those are not for us
	case !q.IsAdd:
		return i.deleteAddress(p)
	}
	if retval := w.conflict(i, p); retval != ok {
		return retval
	}
	if p.Bits() < 1 {
		return api.ADDRESS_LENGTH_MISMATCH
	}
	i.addresses = append(i.addresses, p)
	return ok
}

// deleteAddress deletes an address. VPP looks at the address and not at the length.
func (i *iface) deleteAddress(p netip.Prefix) api.VPPApiError {
	at := slices.IndexFunc(i.addresses, func(own netip.Prefix) bool { return own.Addr() == p.Addr() })
	if at < 0 {
		return api.ADDRESS_NOT_FOUND_FOR_INTERFACE
	}
	i.addresses = slices.Delete(i.addresses, at, at+1)
	return ok
}

// conflict looks for an address in the same table whose subnet overlaps. One
// interface may have several of one subnet.
func (w *world) conflict(i *iface, p netip.Prefix) api.VPPApiError {
	f := familyOf(p.Addr())
	for _, other := range w.interfaces {
		if other.tables[f] != i.tables[f] {
			continue
		}
		for _, own := range other.addresses {
			if familyOf(own.Addr()) != f || !own.Masked().Overlaps(p.Masked()) {
				continue
			}
			if other == i && own.Bits() == p.Bits() && own.Addr() != p.Addr() {
				continue
			}
			if f == v4 {
				return api.ADDRESS_IN_USE
			}
			return api.DUPLICATE_IF_ADDRESS
		}
	}
	return ok
}

func (w *world) dumpAddresses(q *ip.IPAddressDump) []ip.IPAddressDetails {
	var all []ip.IPAddressDetails
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known {
		return nil
	}
	for _, p := range i.addresses {
		if familyOf(p.Addr()) == familyIf(q.IsIPv6) {
			all = append(all, ip.IPAddressDetails{SwIfIndex: q.SwIfIndex, Prefix: ip_types.AddressWithPrefix(toPrefix(p))})
		}
	}
	return all
}

// has reports whether an interface has an address of a family, its own or lent.
func (w *world) has(i *iface, f family) bool {
	if lender, ok := w.interfaces[i.lender]; ok {
		i = lender
	}
	return slices.ContainsFunc(i.addresses, func(p netip.Prefix) bool { return familyOf(p.Addr()) == f })
}

func (w *world) setTable(q *interfaces.SwInterfaceSetTable) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	f := familyIf(q.IsIPv6)
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case w.tables[tableKey{f, q.VrfID}] == nil:
		return api.NO_SUCH_FIB
	case w.has(i, f):
		return api.ADDRESS_FOUND_FOR_INTERFACE
	}
	i.tables[f] = q.VrfID
	w.dropTables()
	return ok
}

func (w *world) getTable(q *interfaces.SwInterfaceGetTable, r *interfaces.SwInterfaceGetTableReply) {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known {
		r.Retval, r.VrfID = int32(api.INVALID_SW_IF_INDEX), none
		return
	}
	r.VrfID = i.tables[familyIf(q.IsIPv6)]
}

// setUnnumbered lets an interface have the addresses of another. The message's
// names are the wrong way round: SwIfIndex is the one that lends.
func (w *world) setUnnumbered(q *interfaces.SwInterfaceSetUnnumbered) api.VPPApiError {
	i, known := w.interfaces[uint32(q.UnnumberedSwIfIndex)]
	if !known {
		return api.INVALID_SW_IF_INDEX
	}
	if !q.IsAdd {
		i.lender = none
		return ok
	}
	lender, known := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !known:
		return api.INVALID_SW_IF_INDEX_2
	case lender.tables != i.tables:
		return api.UNEXPECTED_INTF_STATE
	}
	i.lender = lender.index
	return ok
}

func (w *world) dumpUnnumbered(q *ip.IPUnnumberedDump) []ip.IPUnnumberedDetails {
	var all []ip.IPUnnumberedDetails
	for _, i := range w.sorted() {
		if i.lender == none || uint32(q.SwIfIndex) != none && uint32(q.SwIfIndex) != i.index {
			continue
		}
		all = append(all, ip.IPUnnumberedDetails{
			SwIfIndex: interface_types.InterfaceIndex(i.index), IPSwIfIndex: interface_types.InterfaceIndex(i.lender),
		})
	}
	return all
}

// enableIPv6 gives an interface a link-local address, or takes that away.
func (w *world) enableIPv6(q *ip.SwInterfaceIP6EnableDisable) api.VPPApiError {
	i, found := w.interfaces[uint32(q.SwIfIndex)]
	switch {
	case !found:
		return api.INVALID_SW_IF_INDEX
	case q.Enable && i.isIPv6:
		return api.VALUE_EXIST
	case !q.Enable && !i.isIPv6:
		return api.IP6_NOT_ENABLED
	}
	i.isIPv6 = q.Enable
	return ok
}
