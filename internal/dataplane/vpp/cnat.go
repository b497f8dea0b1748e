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
	"go.fd.io/govpp/binapi/ip"
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

// translation leads what comes for a vip to its backends.
type translation struct {
	backends []netip.AddrPort // in their order
	// sticky has a client keep its backend.
	sticky bool
}

func (t translation) equal(o translation) bool {
	return t.sticky == o.sticky && slices.Equal(t.backends, o.backends)
}

// made is a translation that VPP has, under a number of VPP's.
type made struct {
	translation
	id     uint32
	isOurs bool
}

// ourPath is in the flags of every path of ours: VPP keeps and returns the whole
// octet, of which it uses other bits (cnat_trk_flag_t in plugins/cnat/cnat_types.h).
const ourPath = 0x40

// translations are those that a service asks of VPP; everything else that it asks
// for, and what has no backend, is the node's.
func translations(s desired.Service) map[vip]translation {
	list := map[vip]translation{}
	if s.Key.Protocol != model.TCP && s.Key.Protocol != model.UDP {
		return list
	}
	for _, f := range s.Frontends {
		if f.Kind == desired.FrontendNode || len(f.Sources) > 0 {
			continue
		}
		t := translation{sticky: s.Affinity > 0}
		for _, b := range s.Backends {
			if b.Local || !f.Local {
				t.backends = append(t.backends, netip.AddrPortFrom(b.Address, b.Port))
			}
		}
		slices.SortFunc(t.backends, netip.AddrPort.Compare)
		if len(t.backends) > 0 {
			list[vip{netip.AddrPortFrom(f.Address, f.Port), s.Key.Protocol}] = t
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
		got := made{id: t.ID, isOurs: len(t.Paths) > 0, translation: translation{sticky: t.LbType == cnat.CNAT_LB_TYPE_MAGLEV}}
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
func setTranslation(b *vppapi.Batch, v vip, t translation, reply *cnat.CnatTranslationUpdateReply) {
	m := cnat.CnatTranslation{Vip: endpoint(v.at), IPProto: protoNumber(v.protocol), IsRealIP: 1}
	if t.sticky {
		m.LbType, m.FlowHashConfig = cnat.CNAT_LB_TYPE_MAGLEV, ip.IP_API_V2_FLOW_HASH_SRC_IP
	}
	for _, a := range t.backends {
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

func protoNumber(p model.Protocol) ip_types.IPProto {
	if p == model.UDP {
		return ip_types.IP_API_PROTO_UDP
	}
	return ip_types.IP_API_PROTO_TCP
}

func fromProto(p ip_types.IPProto) model.Protocol {
	switch p {
	case ip_types.IP_API_PROTO_TCP:
		return model.TCP
	case ip_types.IP_API_PROTO_UDP:
		return model.UDP
	default:
		return model.Protocol(fmt.Sprintf("protocol %d", p))
	}
}
