// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/af_packet"
	"go.fd.io/govpp/binapi/ethernet_types"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_types"
	"go.fd.io/govpp/binapi/memif"
	"go.fd.io/govpp/binapi/tapv2"
	"go.fd.io/govpp/binapi/urpf"

	"github.com/polynic/polynic/test/need"
)

func (s *suite) memifSockets() {
	dir := shortDir(s)
	type request = memif.MemifSocketFilenameAddDelV2
	for _, c := range []struct {
		request request
		want    api.VPPApiError
		id      uint32
	}{
		{request{IsAdd: true, SocketID: 0, SocketFilename: dir + "/0"}, api.INVALID_ARGUMENT, 0},
		{request{IsAdd: true, SocketID: 5}, api.INVALID_ARGUMENT, 5},
		{request{IsAdd: true, SocketID: 5, SocketFilename: dir + "/5"}, ok, 5},
		{request{IsAdd: true, SocketID: 5, SocketFilename: dir + "/5"}, ok, 5},
		{request{IsAdd: true, SocketID: 5, SocketFilename: dir + "/other"}, api.ENTRY_ALREADY_EXISTS, 5},
		{request{IsAdd: true, SocketID: 6, SocketFilename: dir + "/5"}, ok, 6}, // VPP does not mind
		{request{SocketID: 6}, ok, 6},
		{request{SocketID: 6}, api.INVALID_ARGUMENT, 6},
		{request{SocketID: 0}, api.INVALID_ARGUMENT, 0},
	} {
		reply := refused[memif.MemifSocketFilenameAddDelV2Reply](s, c.want, &c.request)
		same(s, "socket id", reply.SocketID, c.id)
	}
	chosen := Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, &request{IsAdd: true, SocketID: none, SocketFilename: dir + "/chosen"}).SocketID
	got := map[uint32]string{}
	for _, d := range List[memif.MemifSocketFilenameDetails](s.peer, &memif.MemifSocketFilenameDump{}) {
		got[d.SocketID] = strings.TrimPrefix(d.SocketFilename, dir)
	}
	if !strings.HasSuffix(got[0], "/memif.sock") {
		s.Errorf("socket 0 is %q", got[0])
	}
	delete(got, 0)
	same(s, "sockets", got, map[uint32]string{5: "/5", chosen: "/chosen"})
	if _, err := os.Stat(dir + "/5"); err == nil {
		s.Errorf("there is a socket before there is a memif")
	}
}

func (s *suite) memifs() {
	path := filepath.Join(shortDir(s), "m")
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 5, SocketFilename: path})
	mac := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}
	create := memif.MemifCreateV2{SocketID: 5, ID: 1, RingSize: 256, BufferSize: 2048, HwAddr: mac, Secret: "secret"}
	unknown, odd, slave := create, create, create
	unknown.SocketID, odd.RingSize, slave.Role, slave.ID = 9, 100, memif.MEMIF_ROLE_API_SLAVE, 2
	refused[memif.MemifCreateV2Reply](s, api.INVALID_ARGUMENT, &unknown)
	refused[memif.MemifCreateV2Reply](s, api.INVALID_ARGUMENT, &odd)
	index := Do[memif.MemifCreateV2Reply](s.peer, &create).SwIfIndex
	refused[memif.MemifCreateV2Reply](s, api.SUBIF_ALREADY_EXISTS, &create)
	refused[memif.MemifCreateV2Reply](s, api.SUBIF_ALREADY_EXISTS, &slave)
	refused[memif.MemifSocketFilenameAddDelV2Reply](s, api.UNEXPECTED_INTF_STATE, &memif.MemifSocketFilenameAddDelV2{SocketID: 5})
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: isUp})
	// Sizes are those in force, and without an application none are.
	same(s, "memifs", List[memif.MemifDetails](s.peer, &memif.MemifDump{}), []memif.MemifDetails{{
		SwIfIndex: index, HwAddr: mac, ID: 1, SocketID: 5, Role: memif.MEMIF_ROLE_API_MASTER, Mode: memif.MEMIF_MODE_API_ETHERNET,
		RingSize: 1, Flags: isUp, IfName: "memif5/1",
	}})
	same(s, "interfaces", s.described(), []string{"memif5/1 memif 1"})
	if !listens("unixpacket", path) {
		s.Errorf("VPP does not listen")
	}
	refused[interfaces.SwInterfaceSetRxModeReply](s, ok, &interfaces.SwInterfaceSetRxMode{SwIfIndex: index, Mode: interface_types.RX_MODE_API_INTERRUPT})
	refused[interfaces.SwInterfaceSetMtuReply](s, ok, &interfaces.SwInterfaceSetMtu{SwIfIndex: index, Mtu: []uint32{1450, 0, 0, 0}})

	refused[memif.MemifDeleteReply](s, api.INVALID_SW_IF_INDEX, &memif.MemifDelete{SwIfIndex: nobody})
	refused[memif.MemifDeleteReply](s, api.INVALID_SW_IF_INDEX, &memif.MemifDelete{SwIfIndex: s.loopback(1, 0)})
	refused[interfaces.DeleteLoopbackReply](s, api.INVALID_SW_IF_INDEX, &interfaces.DeleteLoopback{SwIfIndex: index})
	refused[memif.MemifDeleteReply](s, ok, &memif.MemifDelete{SwIfIndex: index})
	if listens("unixpacket", path) {
		s.Errorf("VPP listens for a memif that is gone")
	}
	refused[memif.MemifSocketFilenameAddDelV2Reply](s, ok, &memif.MemifSocketFilenameAddDelV2{SocketID: 5})
}

// What happens when VPP cannot listen: it does not listen either when it is asked
// for the next memif, and does not say so. The socket must be made anew.
func (s *suite) memifWithoutFolder() {
	dir := filepath.Join(shortDir(s), "later")
	socket := &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 5, SocketFilename: dir + "/m"}
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, socket)
	refused[memif.MemifCreateV2Reply](s, api.SYSCALL_ERROR_4, &memif.MemifCreateV2{SocketID: 5})
	same(s, "interfaces", s.described(), nil)
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	deaf := refused[memif.MemifCreateV2Reply](s, ok, &memif.MemifCreateV2{SocketID: 5})
	if listens("unixpacket", dir+"/m") {
		s.Errorf("VPP listens after all")
	}
	refused[memif.MemifDeleteReply](s, ok, &memif.MemifDelete{SwIfIndex: deaf.SwIfIndex})
	refused[memif.MemifSocketFilenameAddDelV2Reply](s, ok, &memif.MemifSocketFilenameAddDelV2{SocketID: 5})
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, socket)
	again := Do[memif.MemifCreateV2Reply](s.peer, &memif.MemifCreateV2{SocketID: 5}).SwIfIndex
	if !listens("unixpacket", dir+"/m") {
		s.Errorf("VPP does not listen on a socket that was made anew")
	}
	Do[memif.MemifDeleteReply](s.peer, &memif.MemifDelete{SwIfIndex: again})
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 6, SocketFilename: dir + "/m"})
	refused[memif.MemifCreateV2Reply](s, ok, &memif.MemifCreateV2{SocketID: 6})
	// And where somebody listens, VPP does not.
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 7, SocketFilename: dir + "/m"})
	refused[memif.MemifCreateV2Reply](s, api.SYSCALL_ERROR_4, &memif.MemifCreateV2{SocketID: 7})
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		s.Fatal(err)
	}
	Do[memif.MemifSocketFilenameAddDelV2Reply](s.peer, &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 8, SocketFilename: dir + "/file"})
	refused[memif.MemifCreateV2Reply](s, api.SYSCALL_ERROR_4, &memif.MemifCreateV2{SocketID: 8})
	same(s, "interfaces", s.described(), []string{"memif6/0 memif 0"})
}

func (s *suite) hostInterfaces() {
	need.Root(s)
	run := func(args ...string) {
		s.Helper()
		if out, err := exec.CommandContext(context.Background(), need.Command(s, need.Kernel, "ip"), args...).CombinedOutput(); err != nil {
			s.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	run("link", "add", "vpptest0", "type", "veth", "peer", "name", "vpptest1")
	s.Cleanup(func() { run("link", "del", "vpptest1") })
	mac := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}
	create := &af_packet.AfPacketCreateV3{Mode: af_packet.AF_PACKET_API_MODE_ETHERNET, HwAddr: mac, HostIfName: "vpptest0", NumRxQueues: 1, NumTxQueues: 1}
	missing := *create
	missing.HostIfName = "vpptest9"
	refused[af_packet.AfPacketCreateV3Reply](s, api.INVALID_INTERFACE, &missing)
	index := Do[af_packet.AfPacketCreateV3Reply](s.peer, create).SwIfIndex
	again := refused[af_packet.AfPacketCreateV3Reply](s, api.IF_ALREADY_EXISTS, create)
	same(s, "index of the one that is there", again.SwIfIndex, index)
	if link, err := net.InterfaceByName("vpptest0"); err != nil || link.Flags&net.FlagUp == 0 {
		s.Errorf("the link is %v, %v; VPP has not switched it on", link, err)
	}
	same(s, "interfaces", s.described(), []string{"host-vpptest0 af-packet 2"})
	same(s, "its MAC", s.interfaces()[0].L2Address, mac)
	same(s, "host-interfaces", List[af_packet.AfPacketDetails](s.peer, &af_packet.AfPacketDump{}),
		[]af_packet.AfPacketDetails{{SwIfIndex: index, HostIfName: "vpptest0"}})
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: isUp})
	same(s, "interfaces", s.described(), []string{"host-vpptest0 af-packet 3"})
	refused[interfaces.SwInterfaceSetRxModeReply](s, ok, &interfaces.SwInterfaceSetRxMode{SwIfIndex: index, Mode: interface_types.RX_MODE_API_INTERRUPT})
	refused[interfaces.SwInterfaceSetRxModeReply](s, api.UNIMPLEMENTED, &interfaces.SwInterfaceSetRxMode{SwIfIndex: index, QueueIDValid: true, QueueID: 9})
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index})
	same(s, "interfaces", s.described(), []string{"host-vpptest0 af-packet 0"})

	refused[af_packet.AfPacketDeleteReply](s, api.SYSCALL_ERROR_1, &af_packet.AfPacketDelete{HostIfName: "vpptest9"})
	refused[af_packet.AfPacketDeleteReply](s, ok, &af_packet.AfPacketDelete{HostIfName: "vpptest0"})
	refused[af_packet.AfPacketDeleteReply](s, api.SYSCALL_ERROR_1, &af_packet.AfPacketDelete{HostIfName: "vpptest0"})
	same(s, "interfaces", s.described(), nil)
}

// Taps are refused where there is no vhost-net, and that is all that is known of
// them there.
func (s *suite) tapsRefused() {
	if s.makesTaps() {
		s.Skip("VPP makes taps")
	}
	create := &tapv2.TapCreateV3{ID: none, UseRandomMac: true, NumRxQueues: 1, NumTxQueues: 1, HostIfNameSet: true, HostIfName: "vpptap"}
	refused[tapv2.TapCreateV3Reply](s, api.SYSCALL_ERROR_1, create)
	nameless := &tapv2.TapCreateV3{ID: none, UseRandomMac: true, NumRxQueues: 1, NumTxQueues: 1, TapFlags: tapv2.TAP_API_FLAG_ATTACH}
	refused[tapv2.TapCreateV3Reply](s, api.SYSCALL_ERROR_3, nameless)
	refused[tapv2.TapDeleteV2Reply](s, api.INVALID_SW_IF_INDEX, &tapv2.TapDeleteV2{SwIfIndex: nobody})
	refused[tapv2.TapDeleteV2Reply](s, api.INVALID_SW_IF_INDEX, &tapv2.TapDeleteV2{SwIfIndex: s.loopback(1, 0)})
	same(s, "taps", List[tapv2.SwInterfaceTapV2Details](s.peer, &tapv2.SwInterfaceTapV2Dump{SwIfIndex: ^interface_types.InterfaceIndex(0)}), nil)
}

// makesTaps asks for a tap whose rings cannot be, which VPP finds last.
func (s *suite) makesTaps() bool {
	create := &tapv2.TapCreateV3{ID: none, UseRandomMac: true, NumRxQueues: 1, NumTxQueues: 1, RxRingSz: 3, TxRingSz: 3}
	return retvalOf(Ask[tapv2.TapCreateV3Reply](s.peer, create)) == api.INIT_FAILED
}

// Taps are made, and taken up, where there is vhost-net.
func (s *suite) taps() {
	if !s.makesTaps() {
		s.Skip("there is no vhost-net")
	}
	mac, inPod := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}, ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 5}
	create := tapv2.TapCreateV3{
		ID: 7, MacAddress: mac, NumRxQueues: 1, NumTxQueues: 1, RxRingSz: 256, TxRingSz: 256, HostMacAddrSet: true, HostMacAddr: inPod,
		HostIfNameSet: true, HostIfName: "vpptap", HostNamespaceSet: true, HostNamespace: "/proc/self/ns/net", Tag: "mine",
		TapFlags: tapv2.TAP_API_FLAG_GSO | tapv2.TAP_API_FLAG_ATTACH | tapv2.TAP_API_FLAG_PERSIST,
	}
	elsewhere, nameless, odd := create, create, create
	elsewhere.HostNamespace, nameless.HostIfNameSet, odd.RxRingSz = "/run/netns/nobody", false, 100
	refused[tapv2.TapCreateV3Reply](s, api.SYSCALL_ERROR_2, &elsewhere)
	refused[tapv2.TapCreateV3Reply](s, api.SYSCALL_ERROR_3, &nameless)
	refused[tapv2.TapCreateV3Reply](s, api.INIT_FAILED, &odd)
	if _, err := net.InterfaceByName("vpptap"); err == nil {
		s.Errorf("a tap that was refused is there")
	}
	index := Do[tapv2.TapCreateV3Reply](s.peer, &create).SwIfIndex
	refused[tapv2.TapCreateV3Reply](s, api.INVALID_INTERFACE, &create)
	link, err := net.InterfaceByName("vpptap")
	if err != nil || link.Flags&net.FlagUp == 0 || link.HardwareAddr.String() != inPod.String() {
		s.Errorf("the tap's device is %+v, %v", link, err)
	}
	made := s.interfaces()
	if len(made) != 1 {
		s.Fatalf("interfaces: %v", s.described())
	}
	// Of what device it is: "virtio" in 25.10, "tap" in 26.06.
	same(s, "the interface", fmt.Sprint(made[0].InterfaceName, made[0].Flags, made[0].L2Address, made[0].Tag), fmt.Sprint("tap7", isLinked, mac, "mine"))
	list := List[tapv2.SwInterfaceTapV2Details](s.peer, &tapv2.SwInterfaceTapV2Dump{SwIfIndex: ^interface_types.InterfaceIndex(0)})
	same(s, "taps", list, []tapv2.SwInterfaceTapV2Details{{
		SwIfIndex: uint32(index), ID: 7, DevName: "tap7", RxRingSz: 256, TxRingSz: 256, HostMacAddr: inPod,
		HostIfName: "vpptap", HostNamespace: "/proc/self/ns/net", TapFlags: create.TapFlags,
	}})
	refused[tapv2.TapDeleteV2Reply](s, ok, &tapv2.TapDeleteV2{SwIfIndex: index})
	refused[tapv2.TapDeleteV2Reply](s, api.INVALID_SW_IF_INDEX, &tapv2.TapDeleteV2{SwIfIndex: index})
	if _, err := net.InterfaceByName("vpptap"); err == nil {
		s.Errorf("the device of a tap that was removed is there")
	}
	same(s, "interfaces", s.described(), nil)
}

func (s *suite) sourceChecks() {
	if !s.peer.Knows(&urpf.UrpfUpdateV2{}) {
		s.Skip("this VPP was built without plugin urpf")
	}
	index := s.loopback(1, isUp)
	update := urpf.UrpfUpdateV2{IsInput: true, Mode: urpf.URPF_API_MODE_STRICT, SwIfIndex: index, TableID: none}
	unknown, odd, wild := update, update, update
	unknown.TableID, odd.SwIfIndex, wild.Mode = 9, nobody, 7
	refused[urpf.UrpfUpdateV2Reply](s, api.INVALID_VALUE, &unknown)
	refused[urpf.UrpfUpdateV2Reply](s, api.INVALID_SW_IF_INDEX, &odd)
	refused[urpf.UrpfUpdateV2Reply](s, api.INVALID_VALUE, &wild)
	refused[urpf.UrpfUpdateV2Reply](s, ok, &update)
	all := &urpf.UrpfInterfaceDump{SwIfIndex: ^interface_types.InterfaceIndex(0)}
	strict := urpf.UrpfInterfaceDetails{SwIfIndex: index, IsInput: true, Mode: urpf.URPF_API_MODE_STRICT, Af: ip_types.ADDRESS_IP4}
	same(s, "checks", List[urpf.UrpfInterfaceDetails](s.peer, all), []urpf.UrpfInterfaceDetails{strict})
	// It outlives the interface: VPP takes the next with its index for checked.
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: index})
	same(s, "checks without the interface", List[urpf.UrpfInterfaceDetails](s.peer, all), nil)
	s.loopback(2, isUp)
	same(s, "checks of the next", List[urpf.UrpfInterfaceDetails](s.peer, all), []urpf.UrpfInterfaceDetails{strict})
	off := update
	off.Mode = urpf.URPF_API_MODE_OFF
	refused[urpf.UrpfUpdateV2Reply](s, ok, &off)
	same(s, "checks, switched off", List[urpf.UrpfInterfaceDetails](s.peer, all), nil)
	// The first version of the message looks sources up in table 0, whatever table
	// the interface is in.
	Do[ip.IPTableAddDelReply](s.peer, &ip.IPTableAddDel{IsAdd: true, Table: ip.IPTable{TableID: 1}})
	Do[interfaces.SwInterfaceSetTableReply](s.peer, &interfaces.SwInterfaceSetTable{SwIfIndex: index, VrfID: 1})
	refused[urpf.UrpfUpdateReply](s, ok, &urpf.UrpfUpdate{IsInput: true, Mode: urpf.URPF_API_MODE_STRICT, SwIfIndex: index})
	same(s, "checks in table 0", List[urpf.UrpfInterfaceDetails](s.peer, all), []urpf.UrpfInterfaceDetails{strict})
	refused[urpf.UrpfUpdateV2Reply](s, ok, &update)
	strict.TableID = 1
	same(s, "checks in the interface's table", List[urpf.UrpfInterfaceDetails](s.peer, all), []urpf.UrpfInterfaceDetails{strict})
}
