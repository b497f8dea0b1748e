// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import "github.com/polynic/polynic/internal/model"

// Service is a Kubernetes service as the node resolves it. Every field is always
// there in the JSON.
type Service struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"service"`
	State     ServiceState `json:"state"`
	// Reason says why the State is left or failing, and what of the service is
	// refused; empty otherwise.
	Reason string `json:"reason"`
	// Ports has one element for each port and address family.
	Ports []ServicePort `json:"ports"`
}

// ServiceState tells who resolves a service, and how that fares.
type ServiceState string

// The states of a service.
const (
	// ServiceServed: the switch resolves it, as it is shown.
	ServiceServed ServiceState = "served"
	// ServicePending: the switch has not yet accepted it as it is shown; what it had
	// before it has still, also of a service that is to be left to others.
	ServicePending ServiceState = "pending"
	// ServiceLeft: it is left to others, such as kube-proxy, and the switch has nothing
	// of it any more.
	ServiceLeft ServiceState = "left"
	// ServiceRefused: it is served but for a part.
	ServiceRefused ServiceState = "refused"
	// ServiceFailing: the switch does not have it as it should.
	ServiceFailing ServiceState = "failing"
)

// ServicePort is one port of a service in one family.
type ServicePort struct {
	Name     string         `json:"port"`
	Protocol model.Protocol `json:"protocol"`
	// Family is "IPv4" or "IPv6".
	Family string `json:"family"`
	// Frontends are where it is asked for; [] where the switch does not serve it.
	Frontends []Frontend `json:"frontends"`
	// Endpoints are all that there are, backends or not.
	Endpoints []Endpoint `json:"endpoints"`
	// Affinity is in seconds; 0 for none.
	Affinity int `json:"affinity"`
}

// Frontend is an address at which a service is asked for.
type Frontend struct {
	// Kind is cluster, external, load-balancer or node-port.
	Kind string `json:"kind"`
	// Address is ADDRESS:PORT; of a port of the node it is *:PORT.
	Address string `json:"address"`
	// Local: only backends on this node are used.
	Local bool `json:"local"`
}

// Endpoint is an endpoint, and whether it is a backend.
type Endpoint struct {
	// Address is ADDRESS:PORT.
	Address string `json:"address"`
	// Pod is NAMESPACE/NAME, and Node where it is; empty where that is not known.
	Pod  string `json:"pod"`
	Node string `json:"node"`
	// Interface is the pod's custom interface that the address is of; empty for its
	// main one.
	Interface string `json:"interface"`
	Used      bool   `json:"used"`
	// Reason says why it is not used; empty otherwise.
	Reason string `json:"reason"`
}

// whole turns nil lists into empty ones, in a copy.
func whole(list []Service) []Service {
	list = append([]Service{}, list...)
	for n := range list {
		list[n].Ports = append([]ServicePort{}, list[n].Ports...)
		for i := range list[n].Ports {
			p := &list[n].Ports[i]
			p.Frontends = append([]Frontend{}, p.Frontends...)
			p.Endpoints = append([]Endpoint{}, p.Endpoints...)
		}
	}
	return list
}
