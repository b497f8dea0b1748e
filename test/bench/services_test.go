// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/dataplane/linux/services"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/figure"
)

// The services of P11.
const (
	manyServices = 1000
	fewBackends  = 10
	manyBackends = manyServices * fewBackends
	servedPort   = 8080
)

// resolve is P11: what services cost, as connections are made and as they change.
func resolve(t *testing.T, s *sheet) {
	t.Helper()
	t.Run("changes", func(t *testing.T) { serviceChanges(t, s) })
	t.Run("endpoints", func(t *testing.T) { endpointChanges(t, s) })
	t.Run("connections", func(t *testing.T) { serviceConnections(t, s) })
}

// serviceAddress is where the nth service is asked for, at port 80.
func serviceAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)}) }

// backendsOf are some backends of the range 10.2.0.0/16, the first of them.
func backendsOf(first, count int) []desired.Backend {
	list := make([]desired.Backend, count)
	for i := range list {
		n := 1 + first + i
		list[i] = desired.Backend{Address: netip.AddrFrom4([4]byte{10, 2, byte(n >> 8), byte(n)}), Port: servedPort, Local: true}
	}
	return list
}

func tcpService(n int, backends []desired.Backend) desired.Service {
	return desired.Service{
		Key: desired.ServiceKey{
			Service: model.ServiceRef{Namespace: "default", Name: fmt.Sprintf("service-%d", n)}, Port: "http", Protocol: model.TCP,
		},
		Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: serviceAddress(n), Port: 80}},
		Backends:  backends,
	}
}

// servicesNode is a node's table of services.
type servicesNode struct {
	t     *testing.T
	node  *netns.Handle
	table *services.Table
}

func newServicesNode(t *testing.T, node *netns.Handle) servicesNode {
	t.Helper()
	n := servicesNode{t: t, node: node}
	if err := node.Do(func() (err error) {
		n.table, err = services.New()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	n.table.SetPods([]netip.Prefix{netip.MustParsePrefix("10.1.64.0/24"), netip.MustParsePrefix("10.2.0.0/16")})
	return n
}

func (n servicesNode) apply(list ...desired.Service) time.Duration {
	n.t.Helper()
	begin := time.Now()
	if err := n.node.Do(func() error { return n.table.ApplyServices(n.t.Context(), list, nil) }); err != nil {
		n.t.Fatal(err)
	}
	return time.Since(begin)
}

// all is every service, with ten backends each.
func allServices() []desired.Service {
	list := make([]desired.Service, manyServices)
	for i := range list {
		list[i] = tcpService(i, backendsOf(i*fewBackends, fewBackends))
	}
	return list
}

// serviceChanges takes an endpoint away and puts it back: among ten, among the 10,000
// of many services, and among the 10,000 of one.
func serviceChanges(t *testing.T, s *sheet) {
	t.Helper()
	few, many, big := newServicesNode(t, space(t, freshName("few"))), newServicesNode(t, space(t, freshName("many"))), newServicesNode(t, space(t, freshName("big")))
	few.apply(tcpService(0, backendsOf(0, fewBackends)))
	s.Value(fmt.Sprintf("P11 %d services of %d endpoints, from nothing", manyServices, fewBackends), milliseconds(many.apply(allServices()...)), " ms", figure.Goal{})
	s.Value(fmt.Sprintf("P11 one service of %d endpoints, from nothing", manyBackends), milliseconds(big.apply(tcpService(0, backendsOf(0, manyBackends)))), " ms", figure.Goal{})
	arms := []*figure.Arm{{Name: "among 10"}, {Name: "among 10,000"}, {Name: "among 10,000 of one service"}}
	for i := range 4 * s.pairs {
		of := fewBackends - 1 + i%2
		arms[0].Took(few.apply(tcpService(0, backendsOf(0, of))))
		arms[1].Took(many.apply(tcpService(manyServices/2, backendsOf(manyServices/2*fewBackends, of))))
		arms[2].Took(big.apply(tcpService(0, backendsOf(0, manyBackends-1+i%2))))
	}
	for _, a := range arms[1:] {
		s.Value("P11 one changed endpoint "+a.Name+", beyond one among 10", a.Median()-arms[0].Median(), " ms", figure.AtMost(10))
		s.Note("min/med/max ms: %s, %s; n=%d", a, arms[0], len(a.Values))
	}
	begin := time.Now()
	err := many.node.Do(func() error {
		found, err := many.table.ObserveServices(t.Context())
		if len(found) != manyServices {
			t.Errorf("%d services are observed", len(found))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s.Value(fmt.Sprintf("P11 reading %d services of %d endpoints back", manyServices, fewBackends), milliseconds(time.Since(begin)), " ms", figure.Goal{})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
