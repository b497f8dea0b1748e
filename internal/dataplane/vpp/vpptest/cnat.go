// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"maps"
	"slices"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/feature"
)

// serviceHandlers are those of plugin cnat, and of the steps that it has packets take.
func serviceHandlers() []handler {
	return []handler{
		call((*world).updateTranslation),
		act(&cnat.CnatTranslationDelReply{}, (*world).deleteTranslation),
		dump((*world).dumpTranslations),
		act(&cnat.CnatSetSnatAddressesReply{}, (*world).setSources),
		call((*world).getSources),
		act(&cnat.CnatSetSnatPolicyReply{}, (*world).setSourcePolicy),
		act(&cnat.CnatSnatPolicyAddDelIfReply{}, (*world).addSourceIf),
		act(&feature.FeatureEnableDisableReply{}, (*world).enableFeature),
		call((*world).isFeatureEnabled),
		dump(func(*world, *cnat.CnatSessionDump) []cnat.CnatSessionDetails { return nil }), // it moves no packets
	}
}

// services is what plugin cnat has in memory.
type services struct {
	translations map[uint32]cnat.CnatTranslation
	free         []uint32 // numbers that were given back; VPP takes the last first
	sources      cnat.CnatSetSnatAddresses
	features     map[featureKey]bool
}

type featureKey struct {
	index     uint32
	arc, node string
}

func newServices() services {
	return services{translations: map[uint32]cnat.CnatTranslation{}, features: map[featureKey]bool{}}
}

// activePath is what VPP says of a path that it uses (CNAT_TRK_ACTIVE in
// plugins/cnat/cnat_types.h).
const activePath = 1

func (w *world) updateTranslation(q *cnat.CnatTranslationUpdate, r *cnat.CnatTranslationUpdateReply) {
	t := q.Translation
	t.ID = none
	for id, other := range w.services.translations {
		if other.Vip == t.Vip && other.IPProto == t.IPProto {
			t.ID, t.LbType = id, other.LbType
		}
	}
	if t.ID == none {
		t.ID = uint32(len(w.services.translations))
		if n := len(w.services.free); n > 0 {
			t.ID, w.services.free = w.services.free[n-1], w.services.free[:n-1]
		}
	}
	for i := range t.Paths {
		t.Paths[i].Flags |= activePath
	}
	w.services.translations[t.ID] = t
	r.ID = t.ID
}

func (w *world) deleteTranslation(q *cnat.CnatTranslationDel) api.VPPApiError {
	if _, known := w.services.translations[q.ID]; !known {
		return api.NO_SUCH_ENTRY
	}
	delete(w.services.translations, q.ID)
	w.services.free = append(w.services.free, q.ID)
	return ok
}

// dumpTranslations tells of neither the hash nor whether others of the address go on.
func (w *world) dumpTranslations(*cnat.CnatTranslationDump) []cnat.CnatTranslationDetails {
	var all []cnat.CnatTranslationDetails
	for _, id := range slices.Sorted(maps.Keys(w.services.translations)) {
		t := w.services.translations[id]
		t.IsRealIP, t.FlowHashConfig, t.Flags = 0, 0, 0
		all = append(all, cnat.CnatTranslationDetails{Translation: t})
	}
	return all
}

func (w *world) setSources(q *cnat.CnatSetSnatAddresses) api.VPPApiError {
	w.services.sources = *q
	return ok
}

func (w *world) getSources(_ *cnat.CnatGetSnatAddresses, r *cnat.CnatGetSnatAddressesReply) {
	r.SnatIP4, r.SnatIP6, r.SwIfIndex = w.services.sources.SnatIP4, w.services.sources.SnatIP6, w.services.sources.SwIfIndex
}

func (w *world) setSourcePolicy(q *cnat.CnatSetSnatPolicy) api.VPPApiError {
	if q.Policy > cnat.CNAT_POLICY_K8S {
		return api.UNSPECIFIED
	}
	return ok
}

func (w *world) addSourceIf(q *cnat.CnatSnatPolicyAddDelIf) api.VPPApiError {
	switch _, known := w.interfaces[uint32(q.SwIfIndex)]; {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case q.Table > cnat.CNAT_POLICY_HOST:
		return api.INVALID_VALUE
	}
	return ok
}

// features are those that the server knows, by their arcs.
func features() map[string][]string {
	return map[string][]string{
		"ip4-unicast": {"cnat-input-ip4"}, "ip4-output": {"cnat-output-ip4"},
		"ip6-unicast": {"cnat-input-ip6"}, "ip6-output": {"cnat-output-ip6"},
	}
}

func (w *world) enableFeature(q *feature.FeatureEnableDisable) api.VPPApiError {
	switch _, known := w.interfaces[uint32(q.SwIfIndex)]; {
	case !known:
		return api.INVALID_SW_IF_INDEX
	case !slices.Contains(features()[q.ArcName], q.FeatureName):
		return api.INVALID_VALUE
	}
	w.services.features[featureKey{uint32(q.SwIfIndex), q.ArcName, q.FeatureName}] = q.Enable
	return ok
}

func (w *world) isFeatureEnabled(q *feature.FeatureIsEnabled, r *feature.FeatureIsEnabledReply) {
	if _, known := w.interfaces[uint32(q.SwIfIndex)]; !known {
		r.Retval = int32(api.INVALID_SW_IF_INDEX)
		return
	}
	r.IsEnabled = w.services.features[featureKey{uint32(q.SwIfIndex), q.ArcName, q.FeatureName}]
}

// forgetServices forgets what an interface had that is gone.
func (w *world) forgetServices(index uint32) {
	maps.DeleteFunc(w.services.features, func(k featureKey, _ bool) bool { return k.index == index })
}
