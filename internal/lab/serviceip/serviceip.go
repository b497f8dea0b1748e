// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package serviceip gives services their addresses and node ports, as an API server
// does.
package serviceip

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/manifest"
)

// The ranges of which services get what they do not name: those that are usual in
// clusters.
const (
	Range4 = "10.96.0.0/16"
	Range6 = "fd00:10:96::/112"

	firstNodePort, lastNodePort = 30000, 32767
)

// Cluster is the services that there are. It is not safe for concurrent use.
type Cluster struct {
	families []bool // IPv6, the first being that of services of one family
	services map[string]*corev1.Service
	next     map[bool]netip.Addr
	nextPort int32
}

// New knows the families of the cluster (IPv6 or not), and the services that have
// what they get already.
func New(families []bool, services []*corev1.Service) *Cluster {
	c := &Cluster{
		families: families, services: map[string]*corev1.Service{}, nextPort: firstNodePort,
		next: map[bool]netip.Addr{false: first(Range4), true: first(Range6)},
	}
	for _, s := range services {
		c.Put(s)
	}
	return c
}

// first is the second address of a range: the first is the API server's.
func first(text string) netip.Addr { return netip.MustParsePrefix(text).Addr().Next().Next() }

// Put takes a service that has what it gets.
func (c *Cluster) Put(s *corev1.Service) { c.services[s.Namespace+"/"+s.Name] = s }

// Get finds a service; nil where there is none.
func (c *Cluster) Get(namespace, name string) *corev1.Service { return c.services[namespace+"/"+name] }

// Complete gives a service what it does not name: what it had, where it was there
// before, else what is free. The error says what it names and cannot have.
func (c *Cluster) Complete(s *corev1.Service) error {
	if s.Spec.Type == "" {
		s.Spec.Type = corev1.ServiceTypeClusterIP
	}
	for n := range s.Spec.Ports {
		p := &s.Spec.Ports[n]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
	}
	if path, reason := manifest.PortFault(s); path != "" {
		return fmt.Errorf("%s: %s", path, reason)
	}
	if err := c.giveAddresses(s); err != nil {
		return err
	}
	return c.givePorts(s)
}

func (c *Cluster) giveAddresses(s *corev1.Service) error {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
		return nil
	}
	if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP != "" {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
	for _, ip := range s.Spec.ClusterIPs {
		if other := c.owner(s, ip); other != "" {
			return fmt.Errorf("spec.clusterIPs: %s is that of service %s", ip, other)
		}
	}
	families, err := c.familiesOf(s)
	if err != nil {
		return err
	}
	old := c.Get(s.Namespace, s.Name)
	for n := len(s.Spec.ClusterIPs); n < len(families); n++ {
		if old != nil && n < len(old.Spec.ClusterIPs) && isIPv6(old.Spec.ClusterIPs[n]) == families[n] {
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, old.Spec.ClusterIPs[n])
			continue
		}
		ip := c.next[families[n]]
		for c.owner(s, ip.String()) != "" {
			ip = ip.Next()
		}
		c.next[families[n]] = ip.Next()
		s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, ip.String())
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	return nil
}

// familiesOf is what a service has addresses of: by itself the cluster's first
// family.
func (c *Cluster) familiesOf(s *corev1.Service) ([]bool, error) {
	var families []bool
	for _, f := range s.Spec.IPFamilies {
		families = append(families, f == corev1.IPv6Protocol)
	}
	for _, ip := range s.Spec.ClusterIPs[min(len(families), len(s.Spec.ClusterIPs)):] {
		families = append(families, isIPv6(ip))
	}
	for _, f := range families {
		if !slices.Contains(c.families, f) {
			return nil, fmt.Errorf("spec.ipFamilies: the lab's pods do not have all of them")
		}
	}
	wanted := max(1, len(families))
	if p := s.Spec.IPFamilyPolicy; p != nil && *p != corev1.IPFamilyPolicySingleStack {
		wanted = len(c.families)
		if *p == corev1.IPFamilyPolicyRequireDualStack && wanted < 2 {
			return nil, fmt.Errorf("spec.ipFamilyPolicy: the lab has pods of one family only")
		}
	}
	for _, f := range c.families {
		if len(families) < wanted && !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return families, nil
}

func (c *Cluster) givePorts(s *corev1.Service) error {
	if s.Spec.Type != corev1.ServiceTypeNodePort && s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	old := c.Get(s.Namespace, s.Name)
	for n := range s.Spec.Ports {
		p := &s.Spec.Ports[n]
		if p.NodePort != 0 {
			if other := c.portOwner(s, p.NodePort, p.Protocol); other != "" {
				return fmt.Errorf("spec.ports[%d].nodePort: %d is that of service %s", n, p.NodePort, other)
			}
			continue
		}
		if old != nil && n < len(old.Spec.Ports) && old.Spec.Ports[n].Protocol == p.Protocol && old.Spec.Ports[n].NodePort != 0 {
			p.NodePort = old.Spec.Ports[n].NodePort
			continue
		}
		for c.nextPort <= lastNodePort && c.portOwner(nil, c.nextPort, p.Protocol) != "" {
			c.nextPort++
		}
		if c.nextPort > lastNodePort {
			return fmt.Errorf("spec.ports[%d].nodePort: none is left", n)
		}
		p.NodePort = c.nextPort
		c.nextPort++
	}
	return nil
}

// owner is the other service that has an address; empty for none.
func (c *Cluster) owner(s *corev1.Service, ip string) string {
	for name, o := range c.services {
		if name != s.Namespace+"/"+s.Name && slices.Contains(o.Spec.ClusterIPs, ip) {
			return name
		}
	}
	return ""
}

// portOwner is the other service, of all where s is nil, that has a node port.
func (c *Cluster) portOwner(s *corev1.Service, port int32, protocol corev1.Protocol) string {
	for name, o := range c.services {
		if s != nil && name == s.Namespace+"/"+s.Name {
			continue
		}
		if slices.ContainsFunc(o.Spec.Ports, func(p corev1.ServicePort) bool { return p.NodePort == port && p.Protocol == protocol }) {
			return name
		}
	}
	return ""
}

func isIPv6(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.Is6()
}
