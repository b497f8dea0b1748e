// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/ethernet_types"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/urpf"
	"go.fd.io/govpp/binapi/vpe"
)

const (
	isUp     = interface_types.IF_STATUS_API_FLAG_ADMIN_UP
	isLinked = interface_types.IF_STATUS_API_FLAG_LINK_UP
	// nobody is an interface that there is none of.
	nobody = interface_types.InterfaceIndex(4711)
)

// Run is a script of messages with what VPP 25.10 answers. open gives the socket
// of a VPP that is empty; tests that use links want a network namespace of their
// own.
func Run(t *testing.T, open func(testing.TB) string) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"messages", (*suite).messages},
		{"loopbacks", (*suite).loopbacks},
		{"interface", (*suite).interfaceOfItsOwn},
		{"tags", (*suite).tags},
		{"sizes", (*suite).sizes},
		{"events", (*suite).events},
		{"addresses", (*suite).addresses},
		{"IPv6 addresses", (*suite).addressesV6},
		{"tables", (*suite).tables},
		{"unnumbered", (*suite).unnumbered},
		{"routes", (*suite).routes},
		{"routes refused", (*suite).routesRefused},
		{"routes between tables", (*suite).routesBetweenTables},
		{"routes of interfaces", (*suite).routesOfInterfaces},
		{"neighbours", (*suite).neighbors},
		{"neighbours in a table", (*suite).neighborsInTable},
		{"memif sockets", (*suite).memifSockets},
		{"memifs", (*suite).memifs},
		{"memif without a folder", (*suite).memifWithoutFolder},
		{"host-interfaces", (*suite).hostInterfaces},
		{"taps refused", (*suite).tapsRefused},
		{"taps", (*suite).taps},
		{"source checks", (*suite).sourceChecks},
		{"translations", (*suite).translations},
		{"steps", (*suite).steps},
		{"sources", (*suite).sources},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&suite{t, Dial(t, open(t))})
		})
	}
}

// suite is one script.
type suite struct {
	*testing.T
	peer *Peer
}

// forgets reports whether VPP forgets a static neighbour with its interface, as 26.06
// does, and 25.10 does not.
func (s *suite) forgets() bool {
	s.Helper()
	year, _, _ := strings.Cut(Do[vpe.ShowVersionReply](s.peer, &vpe.ShowVersion{}).Version, ".")
	n, err := strconv.Atoi(year)
	if err != nil {
		s.Fatalf("VPP's version: %v", err)
	}
	return n >= 26
}

// refused asks for something that must be refused with an error of VPP's; 0 is
// that it must not.
func refused[R any, PR pointer[R]](s *suite, want api.VPPApiError, request api.Message) *R {
	s.Helper()
	reply := Ask[R, PR](s.peer, request)
	if got := retvalOf(reply); got != want {
		s.Errorf("%s %+v is answered by %d (%v), want %d (%v)", request.GetMessageName(), request, got, got, want, want)
	}
	return reply
}

// same compares what VPP has with what it should have.
func same[T any](s *suite, what string, got, want T) {
	s.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// loopback makes one that is up or down, and gives its index.
func (s *suite) loopback(instance uint32, flags interface_types.IfStatusFlags) interface_types.InterfaceIndex {
	s.Helper()
	index := Do[interfaces.CreateLoopbackInstanceReply](s.peer, &interfaces.CreateLoopbackInstance{IsSpecified: true, UserInstance: instance}).SwIfIndex
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: flags})
	return index
}

// interfaces are all but local0.
func (s *suite) interfaces() []interfaces.SwInterfaceDetails {
	s.Helper()
	all := List[interfaces.SwInterfaceDetails](s.peer, &interfaces.SwInterfaceDump{SwIfIndex: ^interface_types.InterfaceIndex(0)})
	return slices.DeleteFunc(all, func(d interfaces.SwInterfaceDetails) bool { return d.InterfaceName == "local0" })
}

// described are the interfaces in a few words each.
func (s *suite) described() []string {
	s.Helper()
	var all []string
	for _, d := range s.interfaces() {
		all = append(all, fmt.Sprintf("%s %s %d", d.InterfaceName, d.InterfaceDevType, d.Flags))
	}
	return all
}

func (s *suite) messages() {
	// A VPP may be built without this plugin, and has other messages of that in 26.06.
	withURPF, withCNAT := s.peer.Knows(&urpf.UrpfUpdateV2{}), s.peer.Knows(&cnat.CnatSessionDetails{})
	for _, h := range handlers() {
		for _, m := range h.kinds {
			isExcused := !withURPF && strings.HasPrefix(key(m), "urpf_") || !withCNAT && strings.HasPrefix(key(m), "cnat_")
			if !s.peer.Knows(m) && !isExcused {
				s.Errorf("VPP has no message %s", key(m))
			}
		}
	}
	if !s.peer.Knows(&interfaces.SwInterfaceEvent{}) {
		s.Errorf("VPP has no event of interfaces")
	}
	version := Do[vpe.ShowVersionReply](s.peer, &vpe.ShowVersion{})
	if version.Program != "vpe" || !strings.Contains(version.Version, ".") {
		s.Errorf("VPP calls itself %q, version %q", version.Program, version.Version)
	}
	// What VPP does not understand it does not answer, and goes on.
	s.peer.send([]byte{0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	truncated, err := encode(&interfaces.SwInterfaceSetTable{}, s.peer.number(&interfaces.SwInterfaceSetTable{}), s.peer.index, 1)
	if err != nil {
		s.Fatal(err)
	}
	s.peer.send(truncated[:11])
	Do[vpe.ShowVersionReply](s.peer, &vpe.ShowVersion{})
}

func (s *suite) loopbacks() {
	create := &interfaces.CreateLoopbackInstance{IsSpecified: true, UserInstance: 7}
	first := Do[interfaces.CreateLoopbackInstanceReply](s.peer, create).SwIfIndex
	if first == 0 {
		s.Errorf("the first interface has the index of local0")
	}
	again := refused[interfaces.CreateLoopbackInstanceReply](s, api.INVALID_REGISTRATION, create)
	same(s, "index of one that was not made", again.SwIfIndex, ^interface_types.InterfaceIndex(0))
	refused[interfaces.CreateLoopbackInstanceReply](s, api.INVALID_REGISTRATION, &interfaces.CreateLoopbackInstance{IsSpecified: true, UserInstance: maxLoops})
	second := Do[interfaces.CreateLoopbackInstanceReply](s.peer, &interfaces.CreateLoopbackInstance{}).SwIfIndex
	third := Do[interfaces.CreateLoopbackReply](s.peer, &interfaces.CreateLoopback{}).SwIfIndex
	same(s, "interfaces", s.described(), []string{"loop7 Loopback 0", "loop0 Loopback 0", "loop1 Loopback 0"})

	refused[interfaces.DeleteLoopbackReply](s, ok, &interfaces.DeleteLoopback{SwIfIndex: first})
	refused[interfaces.DeleteLoopbackReply](s, api.INVALID_SW_IF_INDEX, &interfaces.DeleteLoopback{SwIfIndex: first})
	refused[interfaces.DeleteLoopbackReply](s, api.INVALID_SW_IF_INDEX, &interfaces.DeleteLoopback{SwIfIndex: 0})
	refused[interfaces.DeleteLoopbackReply](s, ok, &interfaces.DeleteLoopback{SwIfIndex: second})
	// The index that was given back last is taken first.
	same(s, "index of the next", Do[interfaces.CreateLoopbackInstanceReply](s.peer, create).SwIfIndex, second)
	refused[interfaces.DeleteLoopbackReply](s, ok, &interfaces.DeleteLoopback{SwIfIndex: third})
	same(s, "interfaces", s.described(), []string{"loop7 Loopback 0"})
}

func (s *suite) interfaceOfItsOwn() {
	mac := ethernet_types.MacAddress{2, 0xfe, 1, 2, 3, 4}
	index := Do[interfaces.CreateLoopbackInstanceReply](s.peer, &interfaces.CreateLoopbackInstance{MacAddress: mac, IsSpecified: true, UserInstance: 3}).SwIfIndex
	want := interfaces.SwInterfaceDetails{
		SwIfIndex: index, SupSwIfIndex: uint32(index), L2Address: mac, LinkMtu: 9000, Mtu: []uint32{9000, 0, 0, 0},
		InterfaceName: "loop3", InterfaceDevType: "Loopback",
	}
	same(s, "a new loopback", s.interfaces(), []interfaces.SwInterfaceDetails{want})
	refused[interfaces.SwInterfaceSetFlagsReply](s, ok, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: isUp})
	refused[interfaces.SwInterfaceSetFlagsReply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetFlags{SwIfIndex: nobody, Flags: isUp})
	mac[5] = 5
	refused[interfaces.SwInterfaceSetMacAddressReply](s, ok, &interfaces.SwInterfaceSetMacAddress{SwIfIndex: index, MacAddress: mac})
	refused[interfaces.SwInterfaceSetMacAddressReply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetMacAddress{SwIfIndex: nobody, MacAddress: mac})
	same(s, "its MAC", Do[interfaces.SwInterfaceGetMacAddressReply](s.peer, &interfaces.SwInterfaceGetMacAddress{SwIfIndex: index}).MacAddress, mac)
	want.Flags, want.L2Address = isUp|isLinked, mac
	same(s, "the loopback, up", s.interfaces(), []interfaces.SwInterfaceDetails{want})
	refused[interfaces.SwInterfaceSetRxModeReply](s, ok, &interfaces.SwInterfaceSetRxMode{SwIfIndex: index, Mode: interface_types.RX_MODE_API_INTERRUPT})
	refused[interfaces.SwInterfaceSetRxModeReply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetRxMode{SwIfIndex: nobody})

	other := s.loopback(33, 0)
	named := func(q *interfaces.SwInterfaceDump) (names []string) {
		for _, d := range List[interfaces.SwInterfaceDetails](s.peer, q) {
			names = append(names, d.InterfaceName)
		}
		return names
	}
	same(s, "dump of one", named(&interfaces.SwInterfaceDump{SwIfIndex: other}), []string{"loop33"})
	same(s, "dump of nobody", named(&interfaces.SwInterfaceDump{SwIfIndex: nobody}), nil)
	same(s, "dump of index 0", named(&interfaces.SwInterfaceDump{}), []string{"local0", "loop3", "loop33"})
	same(s, "dump by name", named(&interfaces.SwInterfaceDump{NameFilterValid: true, NameFilter: "OOP33"}), []string{"loop33"})
}

func (s *suite) tags() {
	index := s.loopback(1, 0)
	long := strings.Repeat("a", 70)
	for _, c := range []struct {
		request interfaces.SwInterfaceTagAddDel
		want    api.VPPApiError
		tag     string
	}{
		{interfaces.SwInterfaceTagAddDel{IsAdd: true, SwIfIndex: nobody, Tag: "x"}, api.INVALID_SW_IF_INDEX, ""},
		{interfaces.SwInterfaceTagAddDel{IsAdd: true, SwIfIndex: index}, api.INVALID_VALUE, ""},
		{interfaces.SwInterfaceTagAddDel{IsAdd: true, SwIfIndex: index, Tag: "polynic/a"}, ok, "polynic/a"},
		{interfaces.SwInterfaceTagAddDel{IsAdd: true, SwIfIndex: index, Tag: long}, ok, long[:63]},
		{interfaces.SwInterfaceTagAddDel{SwIfIndex: index}, ok, ""},
		{interfaces.SwInterfaceTagAddDel{SwIfIndex: index}, ok, ""},
	} {
		refused[interfaces.SwInterfaceTagAddDelReply](s, c.want, &c.request)
		same(s, "tag", s.interfaces()[0].Tag, c.tag)
	}
}

func (s *suite) sizes() {
	index := s.loopback(1, 0)
	refused[interfaces.SwInterfaceSetMtuReply](s, api.INVALID_SW_IF_INDEX, &interfaces.SwInterfaceSetMtu{SwIfIndex: nobody, Mtu: make([]uint32, 4)})
	refused[interfaces.SwInterfaceSetMtuReply](s, ok, &interfaces.SwInterfaceSetMtu{SwIfIndex: index, Mtu: []uint32{1450, 1440, 1430, 0}})
	same(s, "MTU", s.interfaces()[0].Mtu, []uint32{1450, 1440, 1430, 0})
	refused[interfaces.HwInterfaceSetMtuReply](s, api.UNSUPPORTED, &interfaces.HwInterfaceSetMtu{SwIfIndex: index, Mtu: 1500})
	refused[interfaces.HwInterfaceSetMtuReply](s, api.INVALID_SW_IF_INDEX, &interfaces.HwInterfaceSetMtu{SwIfIndex: nobody, Mtu: 1500})
}

func (s *suite) events() {
	on, off := &interfaces.WantInterfaceEvents{EnableDisable: 1, PID: 42}, &interfaces.WantInterfaceEvents{PID: 42}
	refused[interfaces.WantInterfaceEventsReply](s, api.INVALID_REGISTRATION, off)
	refused[interfaces.WantInterfaceEventsReply](s, ok, on)
	refused[interfaces.WantInterfaceEventsReply](s, api.INVALID_REGISTRATION, on)
	index := s.loopback(1, 0)
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: isUp})
	s.until(interfaces.SwInterfaceEvent{PID: 42, SwIfIndex: index, Flags: isUp | isLinked})
	Do[interfaces.SwInterfaceSetFlagsReply](s.peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index})
	s.until(interfaces.SwInterfaceEvent{PID: 42, SwIfIndex: index})
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: index})
	s.until(interfaces.SwInterfaceEvent{PID: 42, SwIfIndex: index, Deleted: true})
	refused[interfaces.WantInterfaceEventsReply](s, ok, off)
}

// until reads events until one comes.
func (s *suite) until(want interfaces.SwInterfaceEvent) {
	s.Helper()
	for !slices.Contains(s.peer.Events(1), want) {
		continue
	}
}
