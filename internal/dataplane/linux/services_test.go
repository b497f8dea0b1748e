// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// world is a wired node with a host beside it.
type world struct {
	*wired
	outside *netns.Handle
	pods    int
}

const servicesTable = "polynic-services"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{wired: newWired(t)}
	ns := w.pod()
	h, err := netns.OpenExact(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	w.outside = h
	shell(t, fmt.Sprintf("ip link add uplink type veth peer name uplink netns %s", pathOf(ns)))
	t.Cleanup(func() { shell(t, "ip link del uplink") })
	shell(t, "ip addr add 192.0.2.1/24 dev uplink && ip addr add 2001:db8::1/64 dev uplink nodad && ip link set uplink up && "+
		"ip route add default via 192.0.2.2 && ip route add default via 2001:db8::2")
	w.mustRun(ns, "ip link set lo up && ip addr add 192.0.2.2/24 dev uplink && ip addr add 2001:db8::2/64 dev uplink nodad && "+
		"ip link set uplink up && ip route add default via 192.0.2.1 && ip route add default via 2001:db8::1")
	return w
}

// pathOf is how ip finds a namespace: by a process's file.
func pathOf(ns model.Netns) string { return ns.Path }

func shell(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

func (w *world) world() drivertest.World {
	return drivertest.World{
		Open: func() (dataplane.Services, error) {
			// Another driver, as after a restart, which sees the network as it is.
			d, err := w.open()
			if err != nil {
				return nil, err
			}
			w.t.Cleanup(func() { _ = d.Close() })
			_, err = d.Observe(w.t.Context(), dataplane.Scope{Want: desired.NewSet(w.node.Objects()...)})
			return d, err
		},
		Node:    drivertest.Place{Do: func(f func() error) error { return f() }, Addresses: pair("192.0.2.1", "2001:db8::1")},
		Outside: drivertest.Place{Do: w.outside.Do, Addresses: pair("192.0.2.2", "2001:db8::2")},
		Pod:     w.servicePod,
		Damage:  w.damage,
	}
}

func pair(a, b string) [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(a), netip.MustParseAddr(b)}
}

// servicePod makes a pod with a veth and a tap in the default network.
func (w *world) servicePod() drivertest.ServicePod {
	w.t.Helper()
	w.pods++
	ns := w.pod()
	address := func(i int) []netip.Addr {
		n := 2*w.pods + i
		p := pair(fmt.Sprintf("10.1.1.%d", n), fmt.Sprintf("fd10:1:0:1::%x", n))
		return p[:]
	}
	objects, err := w.node.Attachment(model.Attachment{
		ID:    model.AttachmentID{ContainerID: fmt.Sprintf("s%d", w.pods), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("server-%d", w.pods)},
		Netns: ns, MTU: 1450,
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, Addresses: address(0)},
			{Name: "tap1", Type: podif.Tap, Queues: 1, Network: model.DefaultNetwork, Addresses: address(1)},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(objects[0].Key().Owner, objects)
	h, err := netns.OpenExact(ns)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = h.Close() })
	return drivertest.ServicePod{
		Place:  drivertest.Place{Do: h.Do, Addresses: [2]netip.Addr(address(0))},
		Custom: [2]netip.Addr(address(1)),
	}
}

// damage takes away the rules of one chain of the service.
func (w *world) damage(k desired.ServiceKey) {
	w.t.Helper()
	family := "4"
	if k.IPv6 {
		family = "6"
	}
	chain := fmt.Sprintf("any%s/%s/%s/%s/%s", family, k.Service.Namespace, k.Service.Name, strings.ToLower(string(k.Protocol)), k.Port)
	shell(w.t, "nft flush chain inet "+servicesTable+" "+chain)
}

func TestServices(t *testing.T) {
	w := newWorld(t).world()
	drivertest.RunServices(t, w.Open, w.Damage)
}

func TestServicePackets(t *testing.T) {
	drivertest.RunServicePackets(t, newWorld(t).world())
}

// A name that the table cannot have is told of one service, before it fails them all.
func TestUnservedNames(t *testing.T) {
	d := newWired(t).driver
	for port, isServed := range map[string]bool{"http": true, "": true, "HTTP": false, "a b": false, strings.Repeat("p", 64): false} {
		s := plainService(1, 1)
		s.Key.Port = port
		if err := d.Unserved(s); (err == nil) != isServed {
			t.Errorf("port %q: %v", port, err)
		}
	}
}

// A table of which something was altered while no agent ran is not left behind where
// its services are not wanted any more: it would keep kube-proxy from them.
func TestAlteredTableGoes(t *testing.T) {
	for name, alter := range map[string]string{
		"what all have in common": "refuse",
		"a service's part":        "any4/default/plain-1/tcp/http",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWired(t)
			if err := w.driver.ApplyServices(t.Context(), []desired.Service{plainService(1, 2)}, nil); err != nil {
				t.Fatal(err)
			}
			shell(t, "nft flush chain inet "+servicesTable+" "+alter)
			found, err := w.driver.ObserveServices(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := w.driver.ApplyServices(t.Context(), nil, slices.Collect(maps.Keys(found))); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("nft", "list", "table", "inet", servicesTable).CombinedOutput(); err == nil {
				t.Errorf("still there:\n%s", out)
			}
		})
	}
}

// A client that is held to a backend which is gone, as an agent ended before it had
// that forgotten, is not held to it until the affinity ends.
func TestClientHeldToWhatIsGone(t *testing.T) {
	w := newWired(t)
	s := plainService(1, 2)
	s.Affinity = 10800
	apply := func() {
		t.Helper()
		if err := w.driver.ApplyServices(t.Context(), []desired.Service{s}, nil); err != nil {
			t.Fatal(err)
		}
	}
	isWhole := func() bool {
		t.Helper()
		found, err := w.driver.ObserveServices(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return found[s.Key].Equal(s)
	}
	hold := func(client, backend string) {
		t.Helper()
		shell(t, fmt.Sprintf("nft add element inet %s kept4/default/plain-1/tcp/http/8080 '{ %s timeout 1h : %s }'", servicesTable, client, backend))
	}
	apply()
	hold("10.9.9.1", "10.1.0.1")
	if !isWhole() {
		t.Error("a client at a backend is taken for a mistake")
	}
	hold("10.9.9.2", "10.1.0.99")
	if isWhole() {
		t.Error("a client at what is no backend is not noticed")
	}
	apply()
	if !isWhole() {
		t.Error("the client is still held")
	}
}
