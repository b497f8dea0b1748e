// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"errors"

	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/feature"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// step is one of VPP's nodes that a port's packets pass (a "feature"): arc is where.
type step struct{ arc, node string }

// The ways of packets of a family, from a pod and to a pod.
const (
	fromPod4, toPod4 = "ip4-unicast", "ip4-output"
	fromPod6, toPod6 = "ip6-unicast", "ip6-output"
)

// resolvesServices reports whether services are resolved in VPP, and not by the node
// alone.
func (d *Driver) resolvesServices(conn *vppapi.Conn) bool {
	return d.config.Services && lacksServices(conn) == nil
}

// lacksServices says what VPP lacks for services. The plugin of 26.06, which has other
// messages about sessions, looks for the addresses of services in the pods' table,
// where they are not, when a session ends, and VPP crashes (cnat_client_free_by_ip in
// plugins/cnat/cnat_client.c).
func lacksServices(conn *vppapi.Conn) error {
	if conn.Has(&cnat.CnatTranslationUpdate{}) && !conn.Has(&cnat.CnatSessionDetails{}) {
		return errors.New("its plugin cnat is another than that of 25.10, and not safe with pods in a routing table of their own")
	}
	for _, m := range cnatMessages() {
		if err := conn.Lacks(m); err != nil {
			return err
		}
	}
	return nil
}

// steps are those by which a port's packets are translated: what a pod sends to a
// service, and what comes back to it.
func (d *Driver) steps(conn *vppapi.Conn) []step {
	if !d.resolvesServices(conn) {
		return nil
	}
	return []step{{fromPod4, "cnat-input-ip4"}, {toPod4, "cnat-output-ip4"}, {fromPod6, "cnat-input-ip6"}, {toPod6, "cnat-output-ip6"}}
}

// translate has a port's packets translated. VPP takes a step twice that is asked for
// twice.
func (s *session) translate(b *vppapi.Batch, i *iface) {
	steps := s.steps(s.k.conn)
	if len(steps) > 0 && !i.steps[steps[0]] && hasHairpin(s.k.conn) {
		isPods(b, i.index)
	}
	for _, each := range steps {
		if !i.steps[each] {
			b.Call(&feature.FeatureEnableDisable{SwIfIndex: i.index, Enable: true, ArcName: each.arc, FeatureName: each.node},
				&feature.FeatureEnableDisableReply{}).OnErrorSay("translate addresses of services")
		}
	}
}

// askSteps asks which of them an interface's packets take.
func (i *iface) askSteps(b *vppapi.Batch, steps []step) (take func()) {
	replies := make([]feature.FeatureIsEnabledReply, len(steps))
	for n, each := range steps {
		b.Call(&feature.FeatureIsEnabled{SwIfIndex: i.index, ArcName: each.arc, FeatureName: each.node}, &replies[n]).
			OnError(func(err error) error {
				if isGone(err) {
					return nil
				}
				return say(err, "see whether addresses of services are translated")
			})
	}
	return func() {
		i.steps = map[step]bool{}
		for n, each := range steps {
			i.steps[each] = replies[n].IsEnabled
		}
	}
}
