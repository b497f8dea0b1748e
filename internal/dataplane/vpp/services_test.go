// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"go.fd.io/govpp/binapi/cnat"
	"go.fd.io/govpp/binapi/interface_types"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	vppprocess "github.com/polynic/polynic/test/vpp"
)

// resolving is a lab with services; what the node has of them is in memory.
type resolving struct {
	*lab
	peer *vpptest.Peer
}

func newResolving(t *testing.T, api, stats string) *resolving {
	t.Helper()
	r := &resolving{lab: newLab(t, api, stats), peer: vpptest.Dial(t, api)}
	r.nodeServices = noServices()
	return r
}

func (r *resolving) openServices() (dataplane.Services, error) {
	d, err := r.open()
	if err == nil {
		r.t.Cleanup(func() { _ = d.Close() })
	}
	return d, err
}

// damage takes a service away from VPP; one that is not in VPP, from the node.
func (r *resolving) damage(key desired.ServiceKey) {
	services := r.nodeServices.(inMemory)
	s := services.Services()[key]
	for _, d := range vpptest.List[cnat.CnatTranslationDetails](r.peer, &cnat.CnatTranslationDump{}) {
		for _, f := range s.Frontends {
			if f.Address.IsValid() && sameEndpoint(d.Translation.Vip, f) && sameProtocol(d.Translation, key) {
				vpptest.Do[cnat.CnatTranslationDelReply](r.peer, &cnat.CnatTranslationDel{ID: d.Translation.ID})
				return
			}
		}
	}
	services.LoseService(key)
}

func sameEndpoint(e cnat.CnatEndpoint, f desired.Frontend) bool {
	if f.Address.Is4() {
		return e.Addr.Af == 0 && netip.AddrFrom4(e.Addr.Un.GetIP4()) == f.Address && e.Port == f.Port
	}
	return e.Addr.Af == 1 && netip.AddrFrom16(e.Addr.Un.GetIP6()) == f.Address && e.Port == f.Port
}

func sameProtocol(t cnat.CnatTranslation, key desired.ServiceKey) bool {
	return t.IPProto == 6 && key.Protocol == model.TCP || t.IPProto == 17 && key.Protocol == model.UDP
}

func TestServicesOverServer(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	r := newResolving(t, s.Socket, "")
	drivertest.RunServices(t, r.openServices, r.damage)
}

func TestServicesOverVPP(t *testing.T) {
	p := vppprocess.Start(t, vppprocess.Config{})
	r := newResolving(t, p.API, p.Stats)
	drivertest.RunServices(t, r.openServices, r.damage)
}

// web is a service of two backends.
func web(backends ...string) desired.Service {
	s := desired.Service{
		Key:       desired.ServiceKey{Service: model.ServiceRef{Namespace: "default", Name: "web"}, Port: "http", Protocol: model.TCP},
		Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: netip.MustParseAddr("10.96.0.10"), Port: 80}},
	}
	for _, text := range backends {
		at := netip.MustParseAddrPort(text)
		s.Backends = append(s.Backends, desired.Backend{Address: at.Addr(), Port: at.Port()})
	}
	return s
}

func vips(p *vpptest.Peer) []string {
	var list []string
	for _, d := range vpptest.List[cnat.CnatTranslationDetails](p, &cnat.CnatTranslationDump{}) {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4(d.Translation.Vip.Addr.Un.GetIP4()), d.Translation.Vip.Port).String())
	}
	slices.Sort(list)
	return list
}

// A translation that somebody else made is neither altered nor removed, and in the way
// of a service it is an error that names it; the other services are not touched by it.
func TestForeignTranslations(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	r := newResolving(t, s.Socket, "")
	services, err := r.openServices()
	if err != nil {
		t.Fatal(err)
	}
	foreign := cnat.CnatTranslation{Vip: cnat.CnatEndpoint{SwIfIndex: ^interface_types.InterfaceIndex(0), Port: 80}, IPProto: 6, Paths: []cnat.CnatEndpointTuple{{}}}
	foreign.Vip.Addr.Un.SetIP4([4]byte{10, 96, 0, 10})
	vpptest.Do[cnat.CnatTranslationUpdateReply](r.peer, &cnat.CnatTranslationUpdate{Translation: foreign})
	other := web("10.1.1.2:8080")
	other.Key.Service.Name, other.Frontends[0].Address = "other", netip.MustParseAddr("10.96.0.11")
	err = services.ApplyServices(t.Context(), []desired.Service{web("10.1.1.2:8080"), other}, nil)
	if want := "the address 10.96.0.10:80 TCP in VPP: " + dataplane.ErrTaken.Error(); err == nil || err.Error() != want {
		t.Errorf("a service whose address another has: %v, want %s", err, want)
	}
	if got, want := vips(r.peer), []string{"10.96.0.10:80", "10.96.0.11:80"}; !slices.Equal(got, want) {
		t.Errorf("translations are %v, want %v", got, want)
	}
	if err := services.RemoveServices(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := vips(r.peer), []string{"10.96.0.10:80"}; !slices.Equal(got, want) {
		t.Errorf("translations after the removal are %v, want %v", got, want)
	}
}

// What VPP has of a service that is forgotten is told, and goes when that is asked
// for; a VPP that was started anew is filled again.
func TestServicesOutlive(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	r := newResolving(t, s.Socket, "")
	services, err := r.openServices()
	if err != nil {
		t.Fatal(err)
	}
	one := web("10.1.1.2:8080", "10.1.1.3:8080")
	if err := services.ApplyServices(t.Context(), []desired.Service{one}, nil); err != nil {
		t.Fatal(err)
	}
	r.nodeServices = noServices() // as when the node was started anew, and VPP was not
	if services, err = r.openServices(); err != nil {
		t.Fatal(err)
	}
	found, err := services.ObserveServices(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("observed %v: %v", found, err)
	}
	if err := services.ApplyServices(t.Context(), []desired.Service{one}, slices.Collect(maps.Keys(found))); err != nil {
		t.Fatal(err)
	}
	if n := s.Calls("cnat_translation_update"); n != 1 {
		t.Errorf("what was there already was made again: %d updates", n)
	}
	s.Restart()
	for ok := true; ok; ok = errors.Is(err, dataplane.ErrAway) { // until it is noticed
		found, err = services.ObserveServices(t.Context())
	}
	if err != nil || len(found) != 0 {
		t.Errorf("observed after the restart: %v: %v", found, err)
	}
	if err := services.ApplyServices(t.Context(), []desired.Service{one}, nil); err != nil {
		t.Fatal(err)
	}
	if got := vips(vpptest.Dial(t, s.Socket)); !slices.Equal(got, []string{"10.96.0.10:80"}) {
		t.Errorf("translations after a restart: %v", got)
	}
}

// A change costs messages for what changed, not for what there is.
func TestServicesCost(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	r := newResolving(t, s.Socket, "")
	services, err := r.openServices()
	if err != nil {
		t.Fatal(err)
	}
	list := make([]desired.Service, 1000)
	for i := range list {
		list[i] = web("10.1.1.2:8080")
		list[i].Key.Service.Name = netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)}).String()
		list[i].Frontends[0].Address = netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)})
	}
	if err := services.ApplyServices(t.Context(), list, nil); err != nil {
		t.Fatal(err)
	}
	before := s.AllCalls()
	list[7].Backends = web("10.1.1.2:8080", "10.1.1.3:8080").Backends
	if err := services.ApplyServices(t.Context(), list[7:8], nil); err != nil {
		t.Fatal(err)
	}
	if n := s.AllCalls() - before; n != 1 {
		t.Errorf("one change among 1,000 services took %d messages, want 1", n)
	}
}

// A VPP without the plugin leaves services to the node.
func TestServicesWithoutPlugin(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	s.WithoutMessage("cnat_*")
	r := newResolving(t, s.Socket, "")
	services, err := r.openServices()
	if err != nil {
		t.Fatal(err)
	}
	one := web("10.1.1.2:8080")
	if err := services.ApplyServices(t.Context(), []desired.Service{one}, nil); err != nil {
		t.Fatal(err)
	}
	found, err := services.ObserveServices(t.Context())
	if err != nil || !found[one.Key].Equal(one) {
		t.Errorf("observed %v: %v", found, err)
	}
	if err := services.RemoveServices(t.Context()); err != nil {
		t.Error(err)
	}
}
