// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// BenchmarkOneChange is what one changed endpoint costs above the dataplane: among
// ten, and among the 10,000 of one service, which is the worst.
func BenchmarkOneChange(b *testing.B) {
	for _, slices := range []int{1, 100} {
		b.Run(fmt.Sprint(slices, " slices"), func(b *testing.B) {
			r := newResolver(plan.Services{Node: "here", All: true}, nil)
			ref := model.ServiceRef{Namespace: "shop", Name: "web"}
			r.putService(model.Service{
				Ref: ref, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}},
			})
			r.putRedirect("a", model.Redirect{Pod: model.PodRef{Namespace: "shop", UID: "none"}})
			put := func(n, first int) {
				s := model.EndpointSlice{Name: fmt.Sprint(n), Service: ref, Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 80}}}
				for i := range 100 {
					s.Endpoints = append(s.Endpoints, model.Endpoint{
						Address: netip.AddrFrom4([4]byte{10, byte(first), byte(n), byte(i)}), Ready: true,
						Pod: model.PodRef{Namespace: "shop", UID: fmt.Sprint(n*100 + i)},
					})
				}
				r.putSlice(model.SliceName{Namespace: "shop", Name: s.Name}, s)
			}
			for n := range slices {
				put(n, 1)
			}
			r.take()
			for i := 0; b.Loop(); i++ {
				put(slices/2, 1+i%2)
				r.take()
			}
		})
	}
}
