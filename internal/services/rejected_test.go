// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// What the dataplane refuses of one service, for whatever reason, is told, keeps no
// other from being served, and is tried again when it changes, or in a while.
func TestRejectedServiceAlone(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		for n := 1; n <= 3; n++ {
			b.PutService(service(n))
		}
		b.driver.RejectService(key(2), errBroken)
		b.Synced()
		const web3 = "service shop/web-3 TCP IPv4 cluster 10.96.0.3:80"
		b.expect(web1, web3)
		if err := b.Failing(); err != nil {
			t.Errorf("all services are failing: %v", err)
		}
		refusal := "web-2: port 80/TCP: the dataplane does not accept it: " + errBroken.Error()
		b.expectRefused(refusal)
		b.PutService(service(3)) // as it was
		b.PutSlice(slice(1, 5))
		b.expect(web1+" -> 10.1.0.5:8080", web3)
		b.expectRefused(refusal)
		for _, s := range b.List() {
			if isRefused := len(s.Refusals) > 0; isRefused != (s.Ref == ref(2)) {
				t.Errorf("%s: refusals %v", s.Ref, s.Refusals)
			}
		}
		time.Sleep(3 * time.Minute)
		b.expectRefused(refusal) // tried again, and not told again
		b.driver.RejectService(key(2), nil)
		time.Sleep(time.Minute)
		b.expect(web1+" -> 10.1.0.5:8080", web3, "service shop/web-2 TCP IPv4 cluster 10.96.0.2:80")
	})
}

// A change of what is rejected is tried at once.
func TestRejectedServiceThatChanges(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		b.PutService(service(1))
		b.driver.RejectService(key(1), errBroken)
		b.Synced()
		b.expect()
		b.driver.RejectService(key(1), nil)
		b.PutSlice(slice(1, 5))
		b.expect(web1 + " -> 10.1.0.5:8080")
	})
}

// What is refused is told once, however often the service is resolved.
func TestRefusalIsToldOnce(t *testing.T) {
	run(t, plan.Services{All: true}, func(b *bench) {
		s := service(1)
		s.Ports = append(s.Ports, model.ServicePort{Name: "odd", Protocol: "ICMP", Port: 1})
		b.PutService(s)
		b.Synced()
		for n := range 5 {
			b.PutSlice(slice(1, n))
			synctest.Wait()
		}
		b.expectRefused("web-1: port odd (1/ICMP): protocol ICMP is not served (TCP, UDP and SCTP are)")
	})
}

// The node that has an endpoint of a service tells its author, so it hears of what is
// refused once more when the first has come.
func TestRefusalIsToldWhereTheServiceIs(t *testing.T) {
	run(t, plan.Services{All: true, Node: "n1"}, func(b *bench) {
		const refusal = "web-1: port odd (1/ICMP): protocol ICMP is not served (TCP, UDP and SCTP are)"
		s := service(1)
		s.Ports = append(s.Ports, model.ServicePort{Name: "odd", Protocol: "ICMP", Port: 1})
		b.PutService(s)
		b.Synced()
		b.expectRefused(refusal)
		for n, step := range []struct {
			node string
			told []string
		}{{"n2", []string{refusal}}, {"n1", []string{refusal, refusal}}, {"n1", []string{refusal, refusal}}} {
			name, endpoints := slice(1, n)
			endpoints.Endpoints[0].Node = step.node
			b.PutSlice(name, endpoints)
			b.expectRefused(step.told...)
		}
	})
}

func (b *bench) expectRefused(lines ...string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(lines, b.refused); diff != "" {
		b.t.Error(fmt.Sprint("refused (-want +got):\n", diff))
	}
}
