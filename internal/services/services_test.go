// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("the switch is asleep")

func ref(n int) model.ServiceRef {
	return model.ServiceRef{Namespace: "shop", Name: fmt.Sprintf("web-%d", n)}
}

func key(n int) desired.ServiceKey { return desired.ServiceKey{Service: ref(n), Protocol: model.TCP} }

func service(n int) model.Service {
	return model.Service{
		Ref: ref(n), ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)})},
		Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}},
	}
}

func pod(n int) model.PodRef { return model.PodRef{Namespace: "shop", UID: fmt.Sprint(n)} }

// slice has the endpoints that are the pods of the numbers.
func slice(n int, pods ...int) (model.SliceName, model.EndpointSlice) {
	s := model.EndpointSlice{Name: ref(n).Name, Service: ref(n), Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 8080}}}
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, model.Endpoint{
			Address: netip.AddrFrom4([4]byte{10, 1, byte(p >> 8), byte(p)}), Pod: pod(p), Ready: true,
		})
	}
	return model.SliceName{Namespace: "shop", Name: ref(n).Name}, s
}

func toTap(n int) model.Redirect {
	return model.Redirect{Pod: pod(n), Interface: "tap1", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, 0, byte(n)})}}
}

type bench struct {
	t      *testing.T
	driver *fake.Driver
	*services.Resolver

	mu      sync.Mutex
	refused []string
}

// run has a resolver run in a bubble of its own clock.
func run(t *testing.T, node plan.Services, test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, driver: fake.New()}
		b.Resolver = services.New(services.Config{
			Log: slog.New(slog.DiscardHandler), Driver: b.driver, Node: node, RepairInterval: time.Minute,
			Refused: func(s plan.ResolvedService) {
				b.mu.Lock()
				defer b.mu.Unlock()
				for _, r := range s.Refusals {
					b.refused = append(b.refused, s.Ref.Name+": "+r.String())
				}
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		test(b)
	})
}

// expect waits until nothing goes on, and compares what the switch has.
func (b *bench) expect(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	got := map[string]bool{}
	for _, s := range b.driver.Services() {
		got[s.String()] = true
	}
	want := map[string]bool{}
	for _, l := range lines {
		want[l] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("services (-want +got):\n%s", diff)
	}
}

const web1 = "service shop/web-1 TCP IPv4 cluster 10.96.0.1:80"

func TestNothingIsTouchedBeforeEverythingIsKnown(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		former := desired.Service{Key: key(7), Frontends: []desired.Frontend{{Kind: desired.FrontendNode, Port: 30000}}}
		if err := b.driver.ApplyServices(t.Context(), []desired.Service{former}, nil); err != nil {
			t.Fatal(err)
		}
		b.PutService(service(1))
		b.expect(former.String())
		b.Synced()
		b.expect(web1)
	})
}

func TestChanges(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.Synced()
		b.PutService(service(1))
		b.PutSlice(slice(1, 5, 6))
		b.expect(web1 + " -> 10.1.0.5:8080 -> 10.1.0.6:8080")
		b.PutRedirect("a", toTap(5))
		b.expect(web1 + " -> 10.2.0.5:8080 (of 10.1.0.5) -> 10.1.0.6:8080")
		b.PutSlice(slice(1, 5))
		b.expect(web1 + " -> 10.2.0.5:8080 (of 10.1.0.5)")
		b.DeleteRedirect("a", pod(5))
		b.expect(web1 + " -> 10.1.0.5:8080")
		b.DeleteSlice(model.SliceName{Namespace: "shop", Name: "web-1"})
		b.expect(web1)
		b.DeleteService(ref(1))
		b.expect()
	})
}

// One changed endpoint is one service for the driver, however many there are.
func TestChangeCostsWhatItIsWorth(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		for n := range 1000 {
			b.PutService(service(n))
			b.PutSlice(slice(n, n, n+1))
		}
		b.Synced()
		synctest.Wait()
		before := len(b.driver.ServiceApplies())
		b.PutSlice(slice(500, 500))
		b.PutSlice(slice(501, 501, 502)) // as it was
		synctest.Wait()
		after := b.driver.ServiceApplies()[before:]
		if len(after) != 1 || len(after[0].Put) != 1 || after[0].Put[0].Key != key(500) || len(after[0].Gone) != 0 {
			t.Errorf("applied: %v", after)
		}
	})
}

// Without a redirected endpoint a service is others', and becomes theirs again.
func TestOnlyWhatIsRedirected(t *testing.T) {
	run(t, plan.Services{}, func(b *bench) {
		b.Synced()
		b.PutService(service(1))
		b.PutSlice(slice(1, 5, 6))
		b.PutService(service(2))
		b.PutSlice(slice(2, 7))
		b.expect()
		b.PutRedirect("a", toTap(5))
		b.expect(web1 + " -> 10.2.0.5:8080 (of 10.1.0.5) -> 10.1.0.6:8080")
		b.DeleteRedirect("a", pod(5))
		b.expect()
	})
}

// Who may write in one namespace redirects no pod of another.
func TestRedirectOfAnotherNamespace(t *testing.T) {
	run(t, plan.Services{}, func(b *bench) {
		b.Synced()
		b.PutService(service(1))
		b.PutSlice(slice(1, 5))
		foreign := toTap(5)
		foreign.Pod.Namespace = "evil"
		b.PutRedirect("a", foreign)
		b.expect()
	})
}

// What the node of a pod says of each family is put together; what another node says
// of the other family is not.
func TestRedirectOfBothFamilies(t *testing.T) {
	for node, want := range map[string]string{"n1": " -> [fd00:2::5]:8080 (of fd00:1::5)", "n2": ""} {
		run(t, plan.Services{}, func(b *bench) {
			b.Synced()
			s, six := service(1), netip.MustParseAddr("fd00:96::1")
			s.ClusterIPs = append(s.ClusterIPs, six)
			b.PutService(s)
			_, endpoints := slice(1, 5)
			endpoints.Endpoints[0].Node = "n1"
			b.PutSlice(model.SliceName{Namespace: "shop", Name: "four"}, endpoints)
			endpoints.Endpoints = slices.Clone(endpoints.Endpoints)
			endpoints.Endpoints[0].Address = netip.MustParseAddr("fd00:1::5")
			b.PutSlice(model.SliceName{Namespace: "shop", Name: "six"}, endpoints)
			to := toTap(5)
			to.Node = "n1"
			b.PutRedirect("4", to)
			to.Addresses, to.Node = []netip.Addr{netip.MustParseAddr("fd00:2::5")}, node
			b.PutRedirect("6", to)
			b.expect(web1+" -> 10.2.0.5:8080 (of 10.1.0.5)", "service shop/web-1 TCP IPv6 cluster [fd00:96::1]:80"+want)
		})
	}
}

// Of two services that ask for one address the older has it, whoever came first;
// the other is told, keeps its own, and gets it once it is free.
func TestClash(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.Synced()
		shared := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		younger, older := service(1), service(2)
		younger.ExternalIPs, younger.Created = shared, 20
		older.ExternalIPs, older.Created = shared, 10
		b.PutService(younger)
		b.expect(web1 + " external 192.0.2.1:80")
		b.PutService(older)
		b.expect(web1, "service shop/web-2 TCP IPv4 cluster 10.96.0.2:80 external 192.0.2.1:80")
		b.mu.Lock()
		if diff := cmp.Diff([]string{"web-1: 192.0.2.1:80/TCP: service shop/web-2 has it already; choose another"}, b.refused); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		b.mu.Unlock()
		b.DeleteService(ref(2))
		b.expect(web1 + " external 192.0.2.1:80")
	})
}

func TestFailureIsTriedAgain(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.Synced()
		synctest.Wait()
		b.driver.BeforeServices(func(context.Context) error { return errBroken })
		b.PutService(service(1))
		synctest.Wait()
		if err := b.Failing(); !errors.Is(err, errBroken) {
			t.Errorf("failing: %v", err)
		}
		b.driver.BeforeServices(nil)
		time.Sleep(time.Second)
		b.expect(web1)
		if err := b.Failing(); err != nil {
			t.Errorf("still failing: %v", err)
		}
	})
}

// The dataplane may have failed in what it does beside, as ending old flows: it is
// asked again, though the services are there.
func TestFailureAfterTheChangeIsTriedAgain(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.PutService(service(1))
		b.Synced()
		b.expect(web1)
		before := len(b.driver.ServiceApplies())
		b.driver.BeforeServices(func(ctx context.Context) error {
			b.driver.BeforeServices(nil)
			there := desired.Service{
				Key:       key(1),
				Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: netip.MustParseAddr("10.96.0.1"), Port: 80}},
				Backends:  []desired.Backend{{Address: netip.MustParseAddr("10.1.0.5"), Port: 8080}},
			}
			return errors.Join(errBroken, b.driver.ApplyServices(ctx, []desired.Service{there}, nil))
		})
		b.PutSlice(slice(1, 5))
		time.Sleep(time.Second)
		b.expect(web1 + " -> 10.1.0.5:8080")
		if got := len(b.driver.ServiceApplies()) - before; got != 2 {
			t.Errorf("asked for %d times; want that it is asked again once", got)
		}
	})
}

// What went without our doing is there again after the interval, or at once where
// the dataplane tells of it.
func TestRepair(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.PutService(service(1))
		b.Synced()
		b.expect(web1)
		b.driver.LoseService(key(1))
		b.Recheck()
		b.expect(web1)
		b.driver.LoseService(key(1))
		b.expect()
		time.Sleep(time.Minute)
		b.expect(web1)
	})
}
