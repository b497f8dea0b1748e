// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"net/netip"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/feature"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/binapi/ip_types"
)

// hasServices skips what a VPP without plugin cnat, or with another version of it,
// cannot.
func (s *suite) hasServices(m api.Message) {
	if !s.peer.Knows(m) {
		s.Skipf("this VPP knows no %s", key(m))
	}
}

func endpoint(text string) cnat.CnatEndpoint {
	at := netip.MustParseAddrPort(text)
	addr := toAddress(at.Addr())
	return cnat.CnatEndpoint{Addr: addr, SwIfIndex: ^interface_types.InterfaceIndex(0), IfAf: addr.Af, Port: at.Port()}
}

// unusedFlag is none of VPP's; it is kept.
const unusedFlag = 0x40

func backendOf(from, to string) cnat.CnatEndpointTuple {
	return cnat.CnatEndpointTuple{DstEp: endpoint(to), SrcEp: endpoint(from), Flags: unusedFlag}
}

func (s *suite) translations() {
	s.hasServices(&cnat.CnatTranslationUpdate{})
	one := cnat.CnatTranslation{
		Vip: endpoint("10.96.0.10:80"), IPProto: ip_types.IP_API_PROTO_TCP, IsRealIP: 1,
		Paths: []cnat.CnatEndpointTuple{backendOf("0.0.0.0:0", "10.1.1.2:8080"), backendOf("0.0.0.0:0", "10.1.1.3:8080")},
	}
	two := cnat.CnatTranslation{
		Vip: endpoint("[fd96::10]:53"), IPProto: ip_types.IP_API_PROTO_UDP, IsRealIP: 1,
		LbType: cnat.CNAT_LB_TYPE_MAGLEV, FlowHashConfig: ip.IP_API_V2_FLOW_HASH_SRC_IP,
		Paths: []cnat.CnatEndpointTuple{backendOf("[::]:0", "[fd00::2]:53")},
	}
	update := func(t cnat.CnatTranslation, want uint32) {
		s.Helper()
		same(s, "number", refused[cnat.CnatTranslationUpdateReply](s, ok, &cnat.CnatTranslationUpdate{Translation: t}).ID, want)
	}
	update(one, 0)
	update(two, 1)
	update(one, 0) // it is there
	s.haveTranslations(one, two)
	one.Paths = one.Paths[1:]
	update(one, 0)
	other := one // the same address, another port
	other.Vip.Port = 81
	update(other, 2)
	s.haveTranslations(one, two, other)
	changed := two // it keeps how it chooses
	changed.LbType, changed.FlowHashConfig = cnat.CNAT_LB_TYPE_DEFAULT, 0
	update(changed, 1)
	s.haveTranslations(one, two, other)
	remove := func(id uint32, want api.VPPApiError) {
		s.Helper()
		refused[cnat.CnatTranslationDelReply](s, want, &cnat.CnatTranslationDel{ID: id})
	}
	remove(1, ok)
	remove(1, api.NO_SUCH_ENTRY)
	remove(4711, api.NO_SUCH_ENTRY)
	s.haveTranslations(one, other)
	update(two, 1)
	s.haveTranslations(one, two, other)
}

// haveTranslations compares what there is with translations, whose numbers are not
// looked at.
func (s *suite) haveTranslations(want ...cnat.CnatTranslation) {
	s.Helper()
	got := map[cnat.CnatEndpoint]cnat.CnatTranslation{}
	for _, d := range List[cnat.CnatTranslationDetails](s.peer, &cnat.CnatTranslationDump{}) {
		t := d.Translation
		for i := range t.Paths {
			if t.Paths[i].Flags&unusedFlag == 0 {
				s.Errorf("VPP did not keep the flag of %v", t.Vip)
			}
			t.Paths[i].Flags = unusedFlag
		}
		t.ID = 0
		got[t.Vip] = t
	}
	all := map[cnat.CnatEndpoint]cnat.CnatTranslation{}
	for _, t := range want {
		t.IsRealIP, t.FlowHashConfig, t.NPaths = 0, 0, uint32(len(t.Paths))
		all[t.Vip] = t
	}
	same(s, "translations", got, all)
}

// steps are taken by an interface's packets until it goes.
func (s *suite) steps() {
	s.hasServices(&cnat.CnatTranslationUpdate{})
	index := s.loopback(1, isUp)
	ask := func(i interface_types.InterfaceIndex) *feature.FeatureIsEnabled {
		return &feature.FeatureIsEnabled{SwIfIndex: i, ArcName: "ip4-unicast", FeatureName: "cnat-input-ip4"}
	}
	enable := feature.FeatureEnableDisable{SwIfIndex: index, Enable: true, ArcName: "ip4-unicast", FeatureName: "cnat-input-ip4"}
	unknown, elsewhere, nowhere := enable, enable, enable
	unknown.FeatureName = "cnat-input-ip5"
	elsewhere.ArcName = "ip4-output"
	nowhere.SwIfIndex = nobody
	refused[feature.FeatureEnableDisableReply](s, api.INVALID_VALUE, &unknown)
	refused[feature.FeatureEnableDisableReply](s, api.INVALID_VALUE, &elsewhere)
	refused[feature.FeatureEnableDisableReply](s, api.INVALID_SW_IF_INDEX, &nowhere)
	same(s, "before", Do[feature.FeatureIsEnabledReply](s.peer, ask(index)).IsEnabled, false)
	refused[feature.FeatureEnableDisableReply](s, ok, &enable)
	same(s, "enabled", Do[feature.FeatureIsEnabledReply](s.peer, ask(index)).IsEnabled, true)
	refused[feature.FeatureIsEnabledReply](s, api.INVALID_SW_IF_INDEX, ask(nobody))
	Do[interfaces.DeleteLoopbackReply](s.peer, &interfaces.DeleteLoopback{SwIfIndex: index})
	same(s, "the next with its number", s.loopback(1, isUp), index)
	same(s, "the next's", Do[feature.FeatureIsEnabledReply](s.peer, ask(index)).IsEnabled, false)
}

// sources are what VPP puts in the place of some.
func (s *suite) sources() {
	s.hasServices(&cnat.CnatSetSnatPolicy{})
	get := func() cnat.CnatGetSnatAddressesReply {
		return *Do[cnat.CnatGetSnatAddressesReply](s.peer, &cnat.CnatGetSnatAddresses{})
	}
	before := get()
	same(s, "IPv4 before", before.SnatIP4, ip_types.IP4Address{})
	same(s, "IPv6 before", before.SnatIP6, ip_types.IP6Address{})
	refused[cnat.CnatSetSnatPolicyReply](s, ok, &cnat.CnatSetSnatPolicy{Policy: cnat.CNAT_POLICY_K8S})
	set := cnat.CnatSetSnatAddresses{SnatIP4: ip_types.IP4Address{10, 1, 1, 1}, SnatIP6: ip_types.IP6Address{0xfd, 15: 1}, SwIfIndex: ^interface_types.InterfaceIndex(0)}
	refused[cnat.CnatSetSnatAddressesReply](s, ok, &set)
	same(s, "addresses", get(), cnat.CnatGetSnatAddressesReply{SnatIP4: set.SnatIP4, SnatIP6: set.SnatIP6, SwIfIndex: set.SwIfIndex})
	refused[cnat.CnatSetSnatAddressesReply](s, ok, &cnat.CnatSetSnatAddresses{SwIfIndex: set.SwIfIndex})
	same(s, "none any more", get().SnatIP4, ip_types.IP4Address{})
	index := s.loopback(1, isUp)
	pods := cnat.CnatSnatPolicyAddDelIf{SwIfIndex: index, IsAdd: 1, Table: cnat.CNAT_POLICY_POD}
	nowhere, odd := pods, pods
	nowhere.SwIfIndex, odd.Table = nobody, 9
	refused[cnat.CnatSnatPolicyAddDelIfReply](s, ok, &pods)
	refused[cnat.CnatSnatPolicyAddDelIfReply](s, api.INVALID_SW_IF_INDEX, &nowhere)
	refused[cnat.CnatSnatPolicyAddDelIfReply](s, api.INVALID_VALUE, &odd)
}
