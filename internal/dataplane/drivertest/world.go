// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// World is a node with pods and an outside, between which packets pass: what the
// services' suite needs of a dataplane. It is one for the whole suite.
type World struct {
	// Open makes the part under test over the dataplane that is there; the suite
	// asks again, as after a restart.
	Open func() (dataplane.Services, error)
	// Node is the node's own namespace, in which processes ask for services too.
	// Its addresses are those that the outside knows.
	Node Place
	// Outside is a host beside the node. By the node it reaches the addresses of
	// services: 10.96.0.0/16, 203.0.113.0/24, fd10:96::/48 and 2001:db8:113::/48;
	// and the node reaches everything that it does not know by this host.
	Outside Place
	// Pod makes a pod on the node, with two interfaces in the default network.
	Pod func() ServicePod
	// Damage takes away a part of what was made for a service, or alters it, as
	// somebody might who looks into the switch.
	Damage func(desired.ServiceKey)
	// Lacks says why the dataplane cannot pass tests, by their names, or parts of them.
	Lacks map[string]string
}

// The parts of tests that a dataplane may lack.
const (
	// OwnCustomInterface is that a pod reaches its own custom interface by a service.
	OwnCustomInterface = "a pod asks its own custom interface"
	// OtherClients is that pods which ask by another protocol than TCP are seen.
	OtherClients = "clients of datagrams are seen"
)

// Place is where processes run.
type Place struct {
	// Do runs a function in the place's network namespace, as netns.Handle does.
	Do func(func() error) error
	// Addresses has one of IPv4 and one of IPv6.
	Addresses [2]netip.Addr
}

// ServicePod is a pod that asks and serves.
type ServicePod struct {
	Place
	// Custom are the addresses of its other interface.
	Custom [2]netip.Addr
}

// RunServices runs the part of the services' suite that needs no packets. open
// gives the driver over the same dataplane each time; damage is World's.
func RunServices(t *testing.T, open func() (dataplane.Services, error), damage func(desired.ServiceKey)) {
	t.Helper()
	runServices(t, World{Open: open, Damage: damage}, map[string]func(*serviceBench){
		"what is put is observed":         putAndObserve,
		"putting again":                   putAgain,
		"services change":                 changeServices,
		"a frontend goes to another":      passFrontend,
		"services are found by the next":  servicesAfterRestart,
		"damage is noticed and repaired":  damageServices,
		"removing services leaves none":   removeServices,
		"a service that is not there":     removeAbsentService,
		"many services and many backends": manyServices,
	})
}

// RunServicePackets runs the part of the services' suite that asks services.
func RunServicePackets(t *testing.T, w World) {
	t.Helper()
	refuseEverybody(t, w.Node)
	runServices(t, w, map[string]func(*serviceBench){
		"every protocol and family":          everyProtocol,
		"every frontend":                     everyFrontend,
		"every backend gets its share":       shares,
		"sources of a load balancer":         balancerSources,
		"a client keeps its backend":         affinity,
		"a client is not kept for ever":      affinityExpires,
		"a backend is the node itself":       nodeServes,
		"backends on the node only":          localPolicies,
		"what leaves serves its node":        leavingServes,
		"what leaves keeps its clients":      leavingKeeps,
		"nobody serves":                      nobodyServes,
		"a pod asks itself":                  hairpin,
		"a backend at a custom interface":    customBackend,
		"clients are seen, or hidden":        clientAddresses,
		"a datagram flow leaves its backend": staleFlow,
		"a datagram flow that was early":     earlyFlow,
		"a datagram flow is forgotten":       forgottenFlow,
		"a stream outlives its backend":      streamStays,
		"endpoints come and go under load":   underLoad,
	})
}

// refuseEverybody has the node tell of every datagram that it refuses: of itself it
// tells each host so once a second, after the first six.
func refuseEverybody(t *testing.T, node Place) {
	t.Helper()
	err := node.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/icmp_ratelimit", []byte("0"), 0o600),
			os.WriteFile("/proc/sys/net/ipv6/icmp/ratelimit", []byte("0"), 0o600),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func runServices(t *testing.T, w World, tests map[string]func(*serviceBench)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if reason, lacks := w.Lacks[name]; lacks {
				t.Skip(reason)
			}
			b := &serviceBench{T: t, World: w}
			b.reopen()
			t.Cleanup(func() {
				// The context of the test is gone by now.
				if err := b.services.RemoveServices(withoutEnd(t)); err != nil {
					t.Error(err)
				}
			})
			test(b)
		})
	}
}

// serviceBench is one test of the services' suite.
type serviceBench struct {
	*testing.T
	World
	services dataplane.Services
	made     int
}

func (b *serviceBench) reopen() {
	b.Helper()
	services, err := b.Open()
	if err != nil {
		b.Fatal(err)
	}
	b.services = services
}

// families are the indexes of the addresses of a place.
func families() map[string]int { return map[string]int{"IPv4": 0, "IPv6": 1} }

// service is one with a cluster address of its own and the backends that are given.
func (b *serviceBench) service(p model.Protocol, family int, backends ...desired.Backend) desired.Service {
	b.made++
	return desired.Service{
		Key: desired.ServiceKey{
			Service: model.ServiceRef{Namespace: "default", Name: fmt.Sprintf("service-%d", b.made)},
			Port:    "main", Protocol: p, IPv6: family == 1,
		},
		Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: b.clusterAddress(family), Port: 80}},
		Backends:  backends,
	}
}

// clusterAddress is one that nobody has had since the suite began: what the kernel
// remembers of another test's flows must not matter.
func (b *serviceBench) clusterAddress(family int) netip.Addr {
	n := nextNumber()
	if family == 1 {
		return netip.MustParseAddr(fmt.Sprintf("fd10:96::%x", n))
	}
	return netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)})
}

// externalAddress is one of an external address or a load balancer.
func (b *serviceBench) externalAddress(family int) netip.Addr {
	n := nextNumber()
	if family == 1 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:113::%x", n))
	}
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(n%250) + 1})
}

func (b *serviceBench) put(list ...desired.Service) {
	b.Helper()
	if err := b.services.ApplyServices(b.Context(), list, nil); err != nil {
		b.Fatal(err)
	}
}

func (b *serviceBench) remove(list ...desired.Service) {
	b.Helper()
	keys := make([]desired.ServiceKey, len(list))
	for i, s := range list {
		keys[i] = s.Key
	}
	if err := b.services.ApplyServices(b.Context(), nil, keys); err != nil {
		b.Fatal(err)
	}
}

// expect fails unless exactly these services are observed.
func (b *serviceBench) expect(list ...desired.Service) {
	b.Helper()
	found, err := b.services.ObserveServices(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, want := range list {
		if got, ok := found[want.Key]; !ok {
			b.Errorf("not observed: %s", want)
		} else if !got.Equal(want) {
			b.Errorf("observed %s\nwant     %s", got, want)
		}
		delete(found, want.Key)
	}
	for _, s := range found {
		b.Errorf("observed, and never wanted: %s", s)
	}
}
