// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
)

// Protocol is a transport protocol that services have, as Kubernetes writes it.
type Protocol string

// The protocols of services.
const (
	TCP  Protocol = "TCP"
	UDP  Protocol = "UDP"
	SCTP Protocol = "SCTP"
)

// ServiceRef names one Kubernetes service.
type ServiceRef struct {
	Namespace, Name string
}

// String renders the service as people write it: namespace/name.
func (s ServiceRef) String() string { return s.Namespace + "/" + s.Name }

// Service is a Kubernetes service, as far as a switch has to do with it. A headless
// one has no ClusterIPs.
type Service struct {
	Ref ServiceRef
	// UID is that of the object; empty where the source has none.
	UID string
	// Created is when it was made, in seconds since 1970; 0 where the source does
	// not say.
	Created int64
	Ports   []ServicePort
	// ClusterIPs has at most one address per family.
	ClusterIPs, ExternalIPs, LoadBalancerIPs []netip.Addr
	// LoadBalancerSources bounds who may use LoadBalancerIPs; empty is everybody.
	LoadBalancerSources []netip.Prefix
	// Affinity is for how long, in seconds, a client keeps its backend; 0 is not.
	Affinity int
	// InternalLocal and ExternalLocal are the traffic policies "Local": only
	// backends on the node that resolves are used.
	InternalLocal, ExternalLocal bool
}

// Headless reports whether the service has no address of its own: DNS alone
// resolves it.
func (s Service) Headless() bool { return len(s.ClusterIPs) == 0 }

// ServicePort is one port of a service.
type ServicePort struct {
	// Name tells the ports of one service apart; empty where there is one.
	Name     string
	Protocol Protocol
	Port     uint16
	// NodePort is 0 for none.
	NodePort uint16
}

// EndpointSlice is a part of a service's endpoints, of one family.
type EndpointSlice struct {
	// Name tells the slices of a namespace apart.
	Name    string
	Service ServiceRef
	// Ports are the endpoints', by the names of the service's ports.
	Ports     []EndpointPort
	Endpoints []Endpoint
}

// EndpointPort is the port on which endpoints serve the service's port of that name.
type EndpointPort struct {
	Name     string
	Protocol Protocol
	Port     uint16
}

// Endpoint is one backend, as Kubernetes knows it: by the address of the pod's main
// interface.
type Endpoint struct {
	Address netip.Addr
	// Pod is unknown where the endpoint is none.
	Pod PodRef
	// Node is the name of that it is on; empty where it is not known.
	Node                        string
	Ready, Serving, Terminating bool
}

// Redirect has the services of a pod served at a custom interface of it.
type Redirect struct {
	// Pod is by its UID in the cluster (Endpoint.Pod has the same).
	Pod PodRef
	// Interface is the custom interface, and Addresses its own, at most one per
	// family.
	Interface string
	Addresses []netip.Addr
	// Node is where the pod is.
	Node string
}

// Equal reports whether the other redirect is the same.
func (r Redirect) Equal(o Redirect) bool {
	return r.Pod == o.Pod && r.Interface == o.Interface && r.Node == o.Node && slices.Equal(r.Addresses, o.Addresses)
}

// SliceName names an endpoint slice within the cluster.
type SliceName struct {
	Namespace, Name string
}
