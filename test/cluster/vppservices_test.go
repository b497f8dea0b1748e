// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/controlplane"
)

// askedService has UDP, which the node resolves, beside what webManifest has. Its
// pod is that of webManifest.
const askedService = `
apiVersion: v1
kind: Service
metadata: {name: asked}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 81, targetPort: 8081, protocol: UDP}]
`

// whoAsks is a page that says who asks for it.
const whoAsks = `mkdir -p /www/cgi-bin; (echo '#!/bin/sh'; echo 'echo; echo $REMOTE_ADDR') > /www/cgi-bin/who; chmod +x /www/cgi-bin/who;`

// servicesOfBoth are services that VPP resolves, and those that it leaves to the
// node. Which is which is told by the address that the service's pod sees: the
// client's where the packets passed VPP alone, otherwise the node's.
func (s vppSuite) servicesOfBoth() {
	s.startDNS()
	s.Apply(strings.Replace(webManifest, "mkdir /www;", whoAsks, 1) + "---" + askedService + "---" + shellPod("client", ""))
	s.waitPods(1, "-l", "app=web")
	s.waitPods(1, "-l", "app=client")
	s.expectService(s.t)
	isInVPP := strings.Contains(s.vppctl("show", "version"), "v25.10")
	client, web := s.addressesOf("client"), s.addressesOf("web")
	for family, service := range s.clusterIPs("web") {
		translations := s.vppctl("show", "cnat", "translation")
		if isInVPP != strings.Contains(translations, service.String()) {
			s.t.Errorf("%s is in VPP: want %v\n%s", service, isInVPP, translations)
		}
		seen := s.exec("client", "curl", "-sS", "-m", "2", "http://"+netip.AddrPortFrom(service, 80).String()+"/cgi-bin/who")
		want := netip.Addr{}
		if isInVPP {
			want = client[family]
		}
		s.expectSeen("TCP", seen, want)
	}
	for family, service := range s.clusterIPs("asked") {
		seen := s.askOverUDP(netip.AddrPortFrom(service, 81), netip.AddrPortFrom(web[family], 8081))
		s.expectSeen("UDP", seen, netip.Addr{})
	}
	s.Kubectl("delete", "pod", "web", "client", "--grace-period=1")
	s.Kubectl("delete", "service", "web", "asked")
}

// manyServices has the cluster have a thousand services, each with ten endpoints: all
// are served, by VPP too, and a new agent reads them all within its memory.
func (s vppSuite) manyServices() {
	const count, endpoints = 1000, 10
	s.Kubectl("create", "namespace", "crowd")
	var manifests strings.Builder
	for n := range count {
		fmt.Fprintf(&manifests, crowdService, n)
		for e := range endpoints {
			fmt.Fprintf(&manifests, "- {addresses: [10.1.%d.%d]}\n", 128+n/25, n%25*endpoints+e+1)
		}
		manifests.WriteString("---\n")
	}
	begin := time.Now()
	create := s.Command("create", "-f", "-")
	create.Stdin = strings.NewReader(manifests.String())
	if out, err := create.CombinedOutput(); err != nil {
		s.t.Fatalf("create services: %v: %s", err, out)
	}
	made := time.Since(begin)
	s.expectCrowd(count)
	s.t.Logf("%d services with %d endpoints were made in %s, and served after %s", count, endpoints,
		made.Round(100*time.Millisecond), time.Since(begin).Round(100*time.Millisecond))
	s.Kubectl("delete", "pod", "-n", "polynic-system", "-l", "app.kubernetes.io/component=agent")
	s.Kubectl("rollout", "status", "-n", "polynic-system", "daemonset", "polynic-agent", "--timeout=2m")
	s.expectCrowd(count)
	begin = time.Now()
	s.Kubectl("delete", "namespace", "crowd", "--timeout=3m")
	s.expectCrowd(0)
	s.t.Logf("they were gone after %s", time.Since(begin).Round(100*time.Millisecond))
}

const crowdService = `
apiVersion: v1
kind: Service
metadata: {name: crowd-%[1]d, namespace: crowd}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: crowd-%[1]d, namespace: crowd, labels: {kubernetes.io/service-name: crowd-%[1]d}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
`

// expectCrowd waits until so many of the services of manyServices are served, and VPP
// has them where it has any.
func (s vppSuite) expectCrowd(count int) {
	s.t.Helper()
	controlplane.Eventually(s.t, 2*time.Minute, func() error {
		out, err := s.TryKubectl("exec", "-n", "polynic-system", "daemonset/polynic-agent", "-c", "agent", "--",
			"polynic", "get", "services", "-n", "crowd", "--agent", "/run/polynic/inspect.sock")
		if have := strings.Count(out, " served\n"); err == nil && have != count {
			err = fmt.Errorf("%d services are served, want %d", have, count)
		}
		return err
	})
	if !strings.Contains(s.vppctl("show", "version"), "v25.10") {
		return
	}
	controlplane.Eventually(s.t, time.Minute, func() error {
		if have := strings.Count(s.vppctl("show", "cnat", "translation"), " TCP lb:"); have < count || have > count+20 {
			return fmt.Errorf("VPP has %d translations, want those of %d services", have, count)
		}
		return nil
	})
}

// addressesOf are those of a pod's eth0, IPv4 and IPv6.
func (s vppSuite) addressesOf(pod string) (both [2]netip.Addr) {
	s.t.Helper()
	for _, i := range s.interfaces() {
		if i.Pod == pod && i.Name == "eth0" && len(i.IPs) == len(both) {
			return [2]netip.Addr{i.IPs[0].Addr(), i.IPs[1].Addr()}
		}
	}
	s.t.Fatalf("%s has no eth0 with two addresses", pod)
	return both
}

// clusterIPs are those of a Service, IPv4 and IPv6.
func (s vppSuite) clusterIPs(service string) (both [2]netip.Addr) {
	s.t.Helper()
	for n, text := range strings.Fields(s.Kubectl("get", "service", service, "-o", "jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]}")) {
		both[n] = netip.MustParseAddr(text)
	}
	return both
}

// expectSeen wants a pod behind a service to have seen an address; the zero one stands
// for any of the node's.
func (s vppSuite) expectSeen(protocol, seen string, want netip.Addr) {
	s.t.Helper()
	at, err := netip.ParseAddr(strings.Trim(seen, "[]\n")) // busybox puts it in brackets
	if err != nil {
		s.t.Errorf("%s: the service's pod saw %q", protocol, seen)
		return
	}
	at = at.Unmap()
	if want.IsValid() {
		if at != want {
			s.t.Errorf("%s: the service's pod saw %s, want the client's own address %s", protocol, at, want)
		}
		return
	}
	node, err := net.InterfaceAddrs() // the test is in the node's namespace
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.ContainsFunc(node, func(a net.Addr) bool { return strings.HasPrefix(a.String(), at.String()+"/") }) {
		s.t.Errorf("%s: the service's pod saw %s, want one of the node's: %v", protocol, at, node)
	}
}

// askOverUDP has the pod "client" ask a service, and a server in the pod "web", at an
// address, answer with the address that it saw.
func (s vppSuite) askOverUDP(service, at netip.AddrPort) (seen string) {
	s.t.Helper()
	var server net.PacketConn
	s.inside("web", func() (err error) {
		server, err = (&net.ListenConfig{}).ListenPacket(s.t.Context(), "udp", at.String())
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 64)
		for {
			_, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = server.WriteTo([]byte(from.(*net.UDPAddr).AddrPort().Addr().String()), from)
		}
	}()
	defer func() {
		_ = server.Close()
		<-done
	}()
	var client net.Conn
	s.inside("client", func() (err error) {
		client, err = (&net.Dialer{}).DialContext(s.t.Context(), "udp", service.String())
		return err
	})
	defer client.Close()
	controlplane.Eventually(s.t, time.Minute, func() error {
		if _, err := client.Write([]byte("who?")); err != nil {
			return err
		}
		if err := client.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		buffer := make([]byte, 64)
		n, err := client.Read(buffer)
		if err != nil {
			return fmt.Errorf("%s over UDP: %w", service, err)
		}
		seen = string(buffer[:n])
		return nil
	})
	return seen
}

// inside does something in a pod's network namespace.
func (s vppSuite) inside(pod string, do func() error) {
	s.t.Helper()
	ns, err := netns.Open(s.netns(pod))
	if err != nil {
		s.t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(do); err != nil {
		s.t.Fatalf("in the pod %s: %v", pod, err)
	}
}
