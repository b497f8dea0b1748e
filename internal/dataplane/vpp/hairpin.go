// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"fmt"
	"net/netip"

	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/ip_types"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/model"
)

// A pod that asks for a service may be sent to itself. It would answer itself past
// VPP, so such packets come from the gateway's address. VPP has one policy for that,
// with one address of each family, which has no mark: where it has others than ours it
// is somebody else's, and stays.

// hasHairpin reports whether VPP's policy is one that we know how to set.
func hasHairpin(conn *vppapi.Conn) bool {
	return conn.Has(&cnat.CnatSetSnatPolicy{}) && conn.Has(&cnat.CnatSetSnatAddresses{}) &&
		conn.Has(&cnat.CnatGetSnatAddresses{}) && conn.Has(&cnat.CnatSnatPolicyAddDelIf{})
}

// sources are the addresses that VPP puts in a pod's place.
type sources struct {
	v4 ip_types.IP4Address
	v6 ip_types.IP6Address
}

// sourcesOf are a network's gateways.
func sourcesOf(n network) sources {
	var s sources
	for _, g := range n.addresses {
		if g.Is4() {
			s.v4 = g.As4()
		} else {
			s.v6 = g.As16()
		}
	}
	return s
}

// String names both.
func (s sources) String() string {
	return fmt.Sprintf("%s and %s", netip.AddrFrom4(s.v4), netip.AddrFrom16(s.v6))
}

// readSources reads those that VPP has.
func readSources(ctx context.Context, conn *vppapi.Conn) (sources, error) {
	var reply cnat.CnatGetSnatAddressesReply
	var b vppapi.Batch
	b.Call(&cnat.CnatGetSnatAddresses{}, &reply).OnErrorSay("read the sources of translated packets")
	err := conn.Do(ctx, &b)
	return sources{reply.SnatIP4, reply.SnatIP6}, err
}

func setSources(b *vppapi.Batch, s sources) {
	b.Call(&cnat.CnatSetSnatAddresses{SnatIP4: s.v4, SnatIP6: s.v6, SwIfIndex: none}, &cnat.CnatSetSnatAddressesReply{}).
		OnErrorSay("say what sources are translated to")
}

func setPolicy(b *vppapi.Batch, policy cnat.CnatSnatPolicies) {
	b.Call(&cnat.CnatSetSnatPolicy{Policy: policy}, &cnat.CnatSetSnatPolicyReply{}).OnErrorSay("say whose source is translated")
}

// setHairpin has pods reach themselves. Without a network there are none.
func (d *Driver) setHairpin(ctx context.Context, k *known) error {
	n, ok := k.network(model.DefaultNetwork)
	if d.services.hairpin || !ok || !hasHairpin(k.conn) {
		return nil
	}
	have, err := readSources(ctx, k.conn)
	if err != nil {
		return err
	}
	d.services.hairpin = true
	switch want := sourcesOf(n); have {
	case want:
		return nil
	case sources{}:
		return k.conn.Do(ctx, k.hairpin(want))
	default:
		return fmt.Errorf("VPP translates sources to %s, not to the gateways' %s: %w", have, want, dataplane.ErrTaken)
	}
}

// hairpin sets the policy: the interfaces first, for it translates the sources of
// what is no pod's, and the addresses last, without which it does nothing.
func (k *known) hairpin(s sources) *vppapi.Batch {
	var b vppapi.Batch
	for _, i := range k.ports() {
		isPods(&b, i)
	}
	setPolicy(&b, cnat.CNAT_POLICY_K8S)
	setSources(&b, s)
	return &b
}

// removeHairpin takes the policy away if it is ours.
func (d *Driver) removeHairpin(ctx context.Context, k *known) error {
	n, ok := k.network(model.DefaultNetwork)
	if !ok || !hasHairpin(k.conn) {
		return nil
	}
	have, err := readSources(ctx, k.conn)
	if err != nil || have != sourcesOf(n) {
		return err
	}
	var b vppapi.Batch
	setSources(&b, sources{})
	setPolicy(&b, cnat.CNAT_POLICY_NONE)
	return k.conn.Do(ctx, &b)
}

// isPods tells the policy that an interface is a pod's: what comes to it from elsewhere
// keeps its source.
func isPods(b *vppapi.Batch, i ifIndex) {
	b.Call(&cnat.CnatSnatPolicyAddDelIf{SwIfIndex: i, IsAdd: 1, Table: cnat.CNAT_POLICY_POD}, &cnat.CnatSnatPolicyAddDelIfReply{}).
		OnErrorSay("tell pods from others")
}
