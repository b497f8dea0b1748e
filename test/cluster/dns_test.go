// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/polynic/polynic/test/kubenode"
)

const dnsService = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  ports: [{port: 53, protocol: UDP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{port: %d, protocol: UDP}]
endpoints: [{addresses: [%q]}]
`

// startDNS stands in for the cluster's name server until the end of the test: it
// knows the addresses of Services.
func (s suite) startDNS() {
	s.t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(kubenode.UplinkAddress+":0")))
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if answer, err := s.answer(buffer[:n]); err == nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	s.Apply(fmt.Sprintf(dnsService, kubenode.ClusterDNS, conn.LocalAddr().(*net.UDPAddr).Port, kubenode.UplinkAddress))
}

func (s suite) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("query of %d questions: %w", len(m.Questions), err)
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	addresses := s.lookup(q.Name.String())
	if len(addresses) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

// lookup is the addresses of SERVICE.NAMESPACE.svc.DOMAIN.
func (s suite) lookup(name string) []netip.Addr {
	parts := strings.Split(strings.TrimSuffix(name, ".svc."+kubenode.ClusterDomain+"."), ".")
	if len(parts) != 2 || !strings.HasSuffix(name, ".svc."+kubenode.ClusterDomain+".") {
		return nil
	}
	out, err := s.TryKubectl("get", "service", parts[0], "-n", parts[1], "-o", "jsonpath={.spec.clusterIPs[*]}")
	if err != nil {
		return nil
	}
	var addresses []netip.Addr
	for text := range strings.FieldsSeq(out) {
		if a, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, a)
		}
	}
	return addresses
}
