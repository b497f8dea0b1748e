// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/feature"
	"go.fd.io/govpp/binapi/ip_types"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// cnatMessages are what services need. A VPP that lacks one leaves them to the node.
func cnatMessages() []api.Message {
	return []api.Message{
		&cnat.CnatTranslationUpdate{}, &cnat.CnatTranslationUpdateReply{},
		&cnat.CnatTranslationDel{}, &cnat.CnatTranslationDelReply{},
		&cnat.CnatTranslationDump{}, &cnat.CnatTranslationDetails{},
		&feature.FeatureEnableDisable{}, &feature.FeatureEnableDisableReply{},
		&feature.FeatureIsEnabled{}, &feature.FeatureIsEnabledReply{},
	}
}

// vip is what VPP knows a translation by.
type vip struct {
	at       netip.AddrPort
	protocol model.Protocol
}

// String renders the vip: ADDRESS:PORT PROTOCOL.
func (v vip) String() string { return v.at.String() + " " + string(v.protocol) }

// made is a translation that VPP has, under a number of VPP's.
type made struct {
	backends []netip.AddrPort // in their order
	id       uint32
	isOurs   bool
}

// ourPath is in the flags of every path of ours: VPP keeps and returns the whole
// octet, of which it uses other bits (cnat_trk_flag_t in plugins/cnat/cnat_types.h).
const ourPath = 0x40

// translations are the backends of those that a service asks of VPP. Everything else
// is the node's, and what has no backend: VPP does not refuse. VPP keeps no client at
// its backend for as long as a service says, and has no message to forget a session,
// by which datagrams would go on to a backend that is gone.
func translations(s desired.Service) map[vip][]netip.AddrPort {
	list := map[vip][]netip.AddrPort{}
	if s.Key.Protocol != model.TCP || s.Affinity > 0 {
		return list
	}
	for _, f := range s.Frontends {
		if f.Kind == desired.FrontendNode || len(f.Sources) > 0 {
			continue
		}
		// Who asks here is a pod of this node, for whom policies of what comes from
		// outside do not count.
		serving := s.Backends
		if f.Local && f.Kind == desired.FrontendCluster {
			serving = s.OnNode()
		}
		var backends []netip.AddrPort
		for _, b := range serving {
			backends = append(backends, netip.AddrPortFrom(b.Address, b.Port))
		}
		slices.SortFunc(backends, netip.AddrPort.Compare)
		if len(backends) > 0 {
			list[vip{netip.AddrPortFrom(f.Address, f.Port), s.Key.Protocol}] = backends
		}
	}
	return list
}

// readTranslations reads all that there are.
func readTranslations(ctx context.Context, conn *vppapi.Conn) (map[vip]made, error) {
	found := map[vip]made{}
	var b vppapi.Batch
	vppapi.Dump(&b, &cnat.CnatTranslationDump{}, func(m *cnat.CnatTranslationDetails) {
		t := m.Translation
		got := made{id: t.ID, isOurs: len(t.Paths) > 0}
		for _, p := range t.Paths {
			got.isOurs = got.isOurs && p.Flags&ourPath != 0
			got.backends = append(got.backends, fromEndpoint(p.DstEp))
		}
		slices.SortFunc(got.backends, netip.AddrPort.Compare)
		found[vip{fromEndpoint(t.Vip), fromProto(t.IPProto)}] = got
	})
	return found, conn.Do(ctx, &b)
}

// setTranslation makes a translation, or gives one that is there other backends. VPP
// knows one without backends too: it is never asked for, for VPP 25.10 crashes. What
// is for the same address and has no translation goes on to the node (IsRealIP).
func setTranslation(b *vppapi.Batch, v vip, backends []netip.AddrPort, reply *cnat.CnatTranslationUpdateReply) {
	m := cnat.CnatTranslation{Vip: endpoint(v.at), IPProto: ip_types.IP_API_PROTO_TCP, IsRealIP: 1}
	for _, a := range backends {
		m.Paths = append(m.Paths, cnat.CnatEndpointTuple{DstEp: endpoint(a), SrcEp: endpoint(sameSource(a)), Flags: ourPath})
	}
	m.NPaths = uint32(len(m.Paths)) //nolint:gosec // far fewer
	b.Call(&cnat.CnatTranslationUpdate{Translation: m}, reply).OnErrorSay("lead %s to its backends", v)
}

// sameSource is the source of a path that leaves it as it is.
func sameSource(like netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(anywhere(like.Addr()).Addr(), 0)
}

func takeTranslation(b *vppapi.Batch, v vip, id uint32) {
	b.Call(&cnat.CnatTranslationDel{ID: id}, &cnat.CnatTranslationDelReply{}).OnError(func(err error) error {
		if isGone(err) {
			return nil
		}
		return say(err, "forget %s", v)
	})
}

func endpoint(a netip.AddrPort) cnat.CnatEndpoint {
	return cnat.CnatEndpoint{Addr: addressOf(a.Addr()), SwIfIndex: none, IfAf: familyOf(a.Addr()), Port: a.Port()}
}

func fromEndpoint(e cnat.CnatEndpoint) netip.AddrPort {
	return netip.AddrPortFrom(fromAddress(e.Addr), e.Port)
}

func fromProto(p ip_types.IPProto) model.Protocol {
	if p == ip_types.IP_API_PROTO_TCP {
		return model.TCP
	}
	return model.Protocol(fmt.Sprintf("protocol %d", p))
}
