// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"errors"
	"fmt"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/af_packet"
	"go.fd.io/govpp/binapi/ethernet_types"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"golang.org/x/sys/unix"
)

// maxLoops is how many loopbacks VPP has at most (LOOPBACK_MAX_INSTANCE).
const maxLoops = 16 * 1024

func (w *world) createLoopback(q *interfaces.CreateLoopback, r *interfaces.CreateLoopbackReply) {
	index, retval := w.loopback(q.MacAddress, none)
	r.SwIfIndex, r.Retval = interface_types.InterfaceIndex(index), int32(retval)
}

func (w *world) createLoopbackInstance(q *interfaces.CreateLoopbackInstance, r *interfaces.CreateLoopbackInstanceReply) {
	instance := q.UserInstance
	if !q.IsSpecified {
		instance = none
	}
	index, retval := w.loopback(q.MacAddress, instance)
	r.SwIfIndex, r.Retval = interface_types.InterfaceIndex(index), int32(retval)
}

// loopback makes a loopback with an instance, or (none) with the first free one.
func (w *world) loopback(mac ethernet_types.MacAddress, instance uint32) (uint32, api.VPPApiError) {
	if instance == none {
		instance = 0
		for w.loops[instance] {
			instance++
		}
	}
	if instance >= maxLoops || w.loops[instance] {
		return none, api.INVALID_REGISTRATION
	}
	if mac == (ethernet_types.MacAddress{}) {
		mac = ethernet_types.MacAddress{0xde, 0xad, 5: byte(instance)}
	}
	i := w.create(fmt.Sprintf("loop%d", instance), "Loopback", mac)
	i.loop, w.loops[instance] = &instance, true
	return i.index, ok
}

func (w *world) deleteLoopback(q *interfaces.DeleteLoopback) api.VPPApiError {
	i, known := w.interfaces[uint32(q.SwIfIndex)]
	if !known || i.loop == nil {
		return api.INVALID_SW_IF_INDEX
	}
	delete(w.loops, *i.loop)
	w.remove(i)
	return ok
}

func (w *world) createHostInterfaceV2(q *af_packet.AfPacketCreateV2, r *af_packet.AfPacketCreateV2Reply) {
	index, retval := w.hostInterface(q.HostIfName, q.HwAddr)
	r.SwIfIndex, r.Retval = interface_types.InterfaceIndex(index), int32(retval)
}

func (w *world) createHostInterfaceV3(q *af_packet.AfPacketCreateV3, r *af_packet.AfPacketCreateV3Reply) {
	if q.Mode != af_packet.AF_PACKET_API_MODE_ETHERNET {
		r.SwIfIndex, r.Retval = interface_types.InterfaceIndex(none), int32(api.INVALID_VALUE)
		return
	}
	mac := q.HwAddr
	if q.UseRandomHwAddr {
		mac = ethernet_types.MacAddress{0x02, 0xfe, 0, 0, 0, byte(len(w.interfaces))}
	}
	index, retval := w.hostInterface(q.HostIfName, mac)
	r.SwIfIndex, r.Retval = interface_types.InterfaceIndex(index), int32(retval)
}

// hostInterface makes a host-interface on a link, which it switches on.
func (w *world) hostInterface(link string, mac ethernet_types.MacAddress) (uint32, api.VPPApiError) {
	for _, i := range w.interfaces {
		if i.host == link {
			return i.index, api.IF_ALREADY_EXISTS
		}
	}
	socket := noSocket
	if retval := w.switchOn(link, &socket); retval != ok {
		return 0, retval
	}
	i := w.create("host-"+link, "af-packet", mac)
	i.host, i.link, i.packets = link, true, socket
	return i.index, ok
}

// noSocket is what an interface has that has no socket.
const noSocket = -1

// switchOn switches a link of the kernel on, and binds a socket to it, from which
// nothing is read.
func (w *world) switchOn(link string, packets *int) api.VPPApiError {
	retval := ok
	act := func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		defer unix.Close(fd)
		request, err := unix.NewIfreq(link)
		if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request) != nil {
			retval = api.INVALID_INTERFACE
			return nil
		}
		index := int(request.Uint32())
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
			return fmt.Errorf("flags of %s: %w", link, err)
		}
		request.SetUint16(request.Uint16() | unix.IFF_UP)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
			return fmt.Errorf("switch %s on: %w", link, err)
		}
		if *packets, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		if err := unix.Bind(*packets, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
			return errors.Join(fmt.Errorf("bind to %s: %w", link, err), unix.Close(*packets))
		}
		return nil
	}
	var err error
	if w.inside != nil {
		err = w.inside.Do(act)
	} else {
		err = act()
	}
	if err != nil {
		return api.SYSCALL_ERROR_1
	}
	return retval
}

func (w *world) deleteHostInterface(q *af_packet.AfPacketDelete) api.VPPApiError {
	for _, i := range w.interfaces {
		if i.host != "" && i.host == q.HostIfName {
			w.remove(i)
			return ok
		}
	}
	return api.SYSCALL_ERROR_1
}

func (w *world) dumpHostInterfaces(*af_packet.AfPacketDump) []af_packet.AfPacketDetails {
	var all []af_packet.AfPacketDetails
	for _, i := range w.sorted() {
		if i.host != "" {
			all = append(all, af_packet.AfPacketDetails{SwIfIndex: interface_types.InterfaceIndex(i.index), HostIfName: i.host})
		}
	}
	return all
}
