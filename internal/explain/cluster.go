// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"math"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/watch"
)

// cluster has the services of manifests as the agent would know them, with who has
// which frontend.
type cluster struct {
	services map[model.ServiceRef]model.Service
	claims   plan.Claims
}

// clusterOf is one with the services of documents, each with an address of the
// cluster's: its own, or one that stands for it.
func clusterOf(c config.Config, all []manifest.Document) cluster {
	made := cluster{services: map[model.ServiceRef]model.Service{}, claims: plan.Claims{}}
	for _, d := range all {
		if d.Service == nil || watch.OtherProxy(d.Service) != "" {
			continue
		}
		s := watch.ModelService(d.Service)
		if _, twice := made.services[s.Ref]; twice {
			continue
		}
		if s.Created == 0 {
			s.Created = math.MaxInt64 // it would be made after those that there are
		}
		if s.Headless() && d.Service.Spec.ClusterIP != corev1.ClusterIPNone && d.Service.Spec.Type != corev1.ServiceTypeExternalName {
			s.ClusterIPs = standIns(familiesOf(c, d.Service), len(made.services)+1)
		}
		made.services[s.Ref] = s
		made.claims.Add(s)
	}
	return made
}

// standIns are addresses that no other service can have, of 0.0.0.0/8 and ::/96, for
// the n-th: one for each family (IPv6 or not).
func standIns(families []bool, n int) []netip.Addr {
	var list []netip.Addr
	for _, isIPv6 := range families {
		number := [4]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}
		address := netip.AddrFrom4(number)
		if isIPv6 {
			var wide [16]byte
			copy(wide[12:], number[:])
			address = netip.AddrFrom16(wide)
		}
		list = append(list, address)
	}
	return list
}

// isStandIn reports whether an address only stands for one that is not known.
func isStandIn(a netip.Addr) bool {
	if a.Is4() {
		return a.As4()[0] == 0
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 96).Contains(a)
}

// familiesOf is what a service would have addresses of (IPv6 or not): of what it
// names, else of the cluster's first family, or of all where its policy says so.
func familiesOf(c config.Config, s *corev1.Service) []bool {
	var families []bool
	for _, f := range s.Spec.IPFamilies {
		families = append(families, f == corev1.IPv6Protocol)
	}
	policy := s.Spec.IPFamilyPolicy
	isSingle := policy == nil || *policy == corev1.IPFamilyPolicySingleStack
	for _, subnet := range c.Network.Subnets {
		isIPv6 := subnet.CIDR.Addr().Is6()
		if (len(families) == 0 || !isSingle) && !slices.Contains(families, isIPv6) {
			families = append(families, isIPv6)
		}
	}
	return families
}
