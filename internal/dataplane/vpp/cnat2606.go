// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"strings"

	"go.fd.io/govpp/binapi/cnat"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/ip"
	"go.fd.io/govpp/codec"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// What plugin cnat has of its own in VPP 26.06, of which GoVPP knows no bindings
// (src/plugins/cnat/cnat.api there).

// cnatFeature is feature_cnat_enable_disable, which has the form of the message that
// it is made of.
type cnatFeature struct{ ip.SwInterfaceIP6EnableDisable }

func (*cnatFeature) GetMessageName() string { return "feature_cnat_enable_disable" }
func (*cnatFeature) GetCrcString() string   { return "5501adee" }

type cnatFeatureReply struct{ cnat.CnatSetSnatPolicyReply }

func (*cnatFeatureReply) GetMessageName() string { return "feature_cnat_enable_disable_reply" }

// cnatPolicy is the message of 25.10 with more policies.
type cnatPolicy struct{ cnat.CnatSetSnatPolicy }

func (*cnatPolicy) GetCrcString() string { return "37a3ce23" }

// cnatSources is cnat_set_snat_addresses_v2: as the first version, with the routing
// table that it is for, here VPP's main one, and flags.
type cnatSources struct {
	cnat.CnatSetSnatAddresses
	Flags uint8
}

// forOthers has the sources be those of every table that has none of its own
// (CNAT_SNAT_POLICY_F_USE_AS_DEFAULT).
const forOthers = 4

func (*cnatSources) GetMessageName() string { return "cnat_set_snat_addresses_v2" }
func (*cnatSources) GetCrcString() string   { return "c0125c26" }

// Size implements codec's messages.
func (m *cnatSources) Size() int { return 4 + 4 + m.CnatSetSnatAddresses.Size() + 1 }

// Marshal implements codec's messages.
func (m *cnatSources) Marshal(b []byte) ([]byte, error) {
	if b == nil {
		b = make([]byte, m.Size())
	}
	buf := codec.NewBuffer(b)
	buf.EncodeUint32(mainTable) // of packets that go there
	buf.EncodeUint32(mainTable) // and of those that come back
	buf.EncodeBytes(m.SnatIP4[:], len(m.SnatIP4))
	buf.EncodeBytes(m.SnatIP6[:], len(m.SnatIP6))
	buf.EncodeUint32(uint32(m.SwIfIndex))
	buf.EncodeUint8(m.Flags)
	return buf.Bytes(), nil
}

type cnatSourcesReply struct{ cnat.CnatSetSnatAddressesReply }

func (*cnatSourcesReply) GetMessageName() string { return "cnat_set_snat_addresses_v2_reply" }

// isLaterCNAT reports whether plugin cnat is that of 26.06.
func isLaterCNAT(conn *vppapi.Conn) bool { return conn.Has(&cnatFeature{}) }

// startServices has plugin cnat of VPP 26.06 start. It does so with the first thing
// that it is asked for, and must have before packets come to it, or VPP crashes; and
// then it looks at each routing table that an interface is put into, without which it
// does not know how many sessions that may have.
func (d *Driver) startServices(ctx context.Context, conn *vppapi.Conn, v *view) error {
	if !d.resolvesServices(conn) || !isLaterCNAT(conn) {
		return nil
	}
	var b vppapi.Batch
	local0 := ip.SwInterfaceIP6EnableDisable{} // which takes no step: nothing is switched off
	b.Call(&cnatFeature{local0}, &cnatFeatureReply{}).OnErrorSay("start plugin cnat")
	if err := conn.Do(ctx, &b); err != nil {
		return err
	}
	for tag, i := range v.tags {
		if strings.HasPrefix(tag, portWord) && i.steps[d.steps(conn)[0]] {
			return nil // it has been asked before
		}
	}
	return showTables(ctx, conn, v)
}

// showTables puts an interface into each table that there is, for a moment.
func showTables(ctx context.Context, conn *vppapi.Conn, v *view) error {
	var created interfaces.CreateLoopbackReply
	var b vppapi.Batch
	b.Call(&interfaces.CreateLoopback{}, &created).OnErrorSay("make a loopback")
	if err := conn.Do(ctx, &b); err != nil {
		return err
	}
	var tables vppapi.Batch
	for t, name := range v.tables {
		if name == tableName {
			setTable(&tables, created.SwIfIndex, t.id, t.is6)
		}
	}
	tables.Call(&interfaces.DeleteLoopback{SwIfIndex: created.SwIfIndex}, &interfaces.DeleteLoopbackReply{}).OnErrorSay("delete a loopback")
	return conn.Do(ctx, &tables)
}
