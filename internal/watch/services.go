// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/polynic/polynic/internal/model"
)

// ServiceSink takes what a source finds of services. It is called from several
// goroutines; of one object it is told in the order in which things happened.
type ServiceSink interface {
	PutService(service model.Service)
	DeleteService(ref model.ServiceRef)
	PutSlice(name model.SliceName, slice model.EndpointSlice)
	DeleteSlice(name model.SliceName)
	// PutRedirect and DeleteRedirect tell what a source, by its name, says of a pod.
	PutRedirect(source string, to model.Redirect)
	DeleteRedirect(source string, pod model.PodRef)
	// Synced tells that everything there is was put; it may be told again.
	Synced()
}

// ServiceOptions is how services are followed.
type ServiceOptions struct {
	// Needed is closed once services and endpoints are wanted, and not only where
	// pods serve. Until then the sink is told that there are none.
	Needed <-chan struct{}
	// Reached is told, for each kind of object, whether the API server gives it
	// (nil) or why it does not, the same again and again, from any goroutine.
	Reached func(kind string, err error)
}

// defaultAffinity is what Kubernetes takes where a service names no timeout
// (k8s.io/api/core/v1, DefaultClientIPServiceAffinitySeconds).
const defaultAffinity = int(corev1.DefaultClientIPServiceAffinitySeconds)

// ModelService is what a switch needs to know of a service. One that has no address
// by its type (ExternalName) is as one that is headless.
func ModelService(s *corev1.Service) model.Service {
	m := model.Service{
		Ref: model.ServiceRef{Namespace: s.Namespace, Name: s.Name}, UID: string(s.UID),
		ExternalIPs:   addresses(s.Spec.ExternalIPs),
		ExternalLocal: s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		InternalLocal: s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
	}
	if !s.CreationTimestamp.IsZero() {
		m.Created = s.CreationTimestamp.Unix()
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName {
		m.ClusterIPs = addresses(s.Spec.ClusterIPs)
		if len(s.Spec.ClusterIPs) == 0 {
			m.ClusterIPs = addresses([]string{s.Spec.ClusterIP})
		}
	}
	for _, p := range s.Spec.Ports {
		m.Ports = append(m.Ports, model.ServicePort{
			Name: p.Name, Protocol: protocolOf(&p.Protocol), Port: uint16(p.Port), NodePort: uint16(p.NodePort),
		})
	}
	for _, i := range s.Status.LoadBalancer.Ingress {
		if i.IPMode == nil || *i.IPMode == corev1.LoadBalancerIPModeVIP { // else the balancer has the node's address asked
			m.LoadBalancerIPs = append(m.LoadBalancerIPs, addresses([]string{i.IP})...)
		}
	}
	for _, text := range s.Spec.LoadBalancerSourceRanges {
		// The API server lets spaces around it pass, and leading zeros.
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			m.LoadBalancerSources = append(m.LoadBalancerSources, p.Masked())
		}
	}
	if len(m.LoadBalancerSources) == 0 && len(s.Spec.LoadBalancerSourceRanges) > 0 {
		m.LoadBalancerIPs = nil // rather for nobody than for everybody
	}
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		m.Affinity = defaultAffinity
		if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			m.Affinity = int(*c.ClientIP.TimeoutSeconds)
		}
	}
	return m
}

// protocolOf is TCP where nothing is said.
func protocolOf(p *corev1.Protocol) model.Protocol {
	if p == nil || *p == "" {
		return model.TCP
	}
	return model.Protocol(*p)
}

// addresses leaves out what is none, "None" and the empty text among it.
func addresses(texts []string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a.Unmap())
		}
	}
	return list
}

// ModelSlice is what a switch needs to know of an endpoint slice.
func ModelSlice(s *discoveryv1.EndpointSlice) model.EndpointSlice {
	m := model.EndpointSlice{
		Name:    s.Name,
		Service: model.ServiceRef{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]},
	}
	for _, p := range s.Ports {
		if p.Port == nil {
			continue
		}
		port := model.EndpointPort{Protocol: protocolOf(p.Protocol), Port: uint16(*p.Port)}
		if p.Name != nil {
			port.Name = *p.Name
		}
		m.Ports = append(m.Ports, port)
	}
	for _, e := range s.Endpoints {
		found := addresses(e.Addresses)
		if len(found) == 0 {
			continue
		}
		// Of several addresses the first counts, as with kube-proxy.
		m.Endpoints = append(m.Endpoints, modelEndpoint(s.Namespace, e, found[0]))
	}
	return m
}

func modelEndpoint(namespace string, e discoveryv1.Endpoint, address netip.Addr) model.Endpoint {
	// What is not said counts as ready (k8s.io/api/discovery/v1, EndpointConditions).
	c := e.Conditions
	m := model.Endpoint{Address: address, Ready: c.Ready == nil || *c.Ready}
	m.Serving = m.Ready
	if c.Serving != nil {
		m.Serving = *c.Serving
	}
	m.Terminating = c.Terminating != nil && *c.Terminating
	if e.NodeName != nil {
		m.Node = *e.NodeName
	}
	if t := e.TargetRef; t != nil && t.Kind == "Pod" {
		m.Pod = model.PodRef{Namespace: namespace, Name: t.Name, UID: string(t.UID)}
	}
	return m
}
