// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"fmt"
	"math/bits"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/ethernet_types"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/tapv2"
)

// tapIface is what an interface has that is a tap.
type tapIface struct {
	request tapv2.TapCreateV3
	device  *tapDevice
}

func (w *world) createTap(q *tapv2.TapCreateV3, r *tapv2.TapCreateV3Reply) {
	r.SwIfIndex = interface_types.InterfaceIndex(none)
	id := q.ID
	if id == none {
		id = 0
		for w.taps[id] {
			id++
		}
	}
	if w.taps[id] {
		r.Retval = int32(api.INVALID_INTERFACE)
		return
	}
	if q.TapFlags&tapv2.TAP_API_FLAG_ATTACH != 0 && !q.HostIfNameSet {
		r.Retval = int32(api.SYSCALL_ERROR_3)
		return
	}
	device, retval := w.openTap(q)
	odd := bits.OnesCount16(q.RxRingSz) > 1 || bits.OnesCount16(q.TxRingSz) > 1
	if retval == ok && odd {
		retval = api.INIT_FAILED
	}
	if retval != ok {
		device.delete()
		r.Retval = int32(retval)
		return
	}
	mac := q.MacAddress
	if q.UseRandomMac {
		mac = ethernet_types.MacAddress{0x02, 0xfe, 0, 0, 0, byte(len(w.interfaces))}
	}
	i := w.create(fmt.Sprintf("tap%d", id), "virtio", mac)
	request := *q
	request.ID = id
	i.tap, i.tag, i.link, w.taps[id] = &tapIface{request, device}, q.Tag, true, true
	r.SwIfIndex = interface_types.InterfaceIndex(i.index)
}

func (w *world) deleteTap(q *tapv2.TapDeleteV2) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known || i.tap == nil {
		return api.INVALID_SW_IF_INDEX
	}
	delete(w.taps, i.tap.request.ID)
	i.tap.device.delete()
	i.tap.device = nil
	w.remove(i)
	return ok
}

func (w *world) dumpTaps(q *tapv2.SwInterfaceTapV2Dump) []tapv2.SwInterfaceTapV2Details {
	var all []tapv2.SwInterfaceTapV2Details
	for _, i := range w.sorted() {
		if i.tap == nil || uint32(q.SwIfIndex) != none && uint32(q.SwIfIndex) != i.index {
			continue
		}
		t := i.tap.request
		all = append(all, tapv2.SwInterfaceTapV2Details{
			SwIfIndex: uint32(i.index), ID: t.ID, DevName: i.name, TxRingSz: t.TxRingSz, RxRingSz: t.RxRingSz,
			HostMtuSize: t.HostMtuSize, HostMacAddr: t.HostMacAddr, HostIfName: t.HostIfName,
			HostNamespace: t.HostNamespace, HostBridge: t.HostBridge, TapFlags: t.TapFlags,
		})
	}
	return all
}
