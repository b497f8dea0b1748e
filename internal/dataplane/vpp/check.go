// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"go.fd.io/govpp/binapi/ip_types"
	"go.fd.io/govpp/binapi/urpf"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// checksSources reports whether VPP can be asked to drop what a pod sends from an
// address that does not lead back to its port.
func (d *Driver) checksSources(conn *vppapi.Conn) bool {
	return conn.Has(&urpf.UrpfUpdateV2{}) && conn.Has(&urpf.UrpfUpdateV2Reply{}) && conn.Has(&urpf.UrpfInterfaceDump{}) && conn.Has(&urpf.UrpfInterfaceDetails{})
}

// ownTable has sources looked up in the interface's own table. The message before
// this version looks them up in the main one.
const ownTable = ^uint32(0)

func setCheck(b *vppapi.Batch, i ifIndex, af ip_types.AddressFamily, mode urpf.UrpfMode) {
	b.Call(&urpf.UrpfUpdateV2{IsInput: true, Mode: mode, Af: af, SwIfIndex: i, TableID: ownTable}, &urpf.UrpfUpdateV2Reply{}).
		OnErrorSay("check sources")
}

// check has sources checked. VPP remembers what it did for a number, also when that
// is another interface's, and then does nothing: so it is switched off first.
func (k *known) check(b *vppapi.Batch, i *iface, af ip_types.AddressFamily) {
	if i.strict[index(af)] {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	checked := k.checked[i.index]
	if checked[index(af)] {
		setCheck(b, i.index, af, urpf.URPF_API_MODE_OFF)
	}
	checked[index(af)] = true
	k.checked[i.index] = checked
	setCheck(b, i.index, af, urpf.URPF_API_MODE_STRICT)
}

// uncheck switches it off for an interface that is to go.
func (k *known) uncheck(b *vppapi.Batch, i ifIndex) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n, af := range []ip_types.AddressFamily{ip_types.ADDRESS_IP4, ip_types.ADDRESS_IP6} {
		if k.checked[i][n] {
			setCheck(b, i, af, urpf.URPF_API_MODE_OFF)
		}
	}
	delete(k.checked, i)
}
