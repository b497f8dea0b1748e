// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/polynic/polynic/internal/model"
)

// selected is a service of a folder, with how it chooses its endpoints.
type selected struct {
	model.Service
	selector    map[string]string
	targets     []intstr.IntOrString // of the ports
	notReadyToo bool
}

func selectedOf(s *corev1.Service) selected {
	chosen := selected{Service: ModelService(s), selector: s.Spec.Selector, notReadyToo: s.Spec.PublishNotReadyAddresses}
	for _, p := range s.Spec.Ports {
		chosen.targets = append(chosen.targets, p.TargetPort)
	}
	return chosen
}

// chooses reports whether a pod is behind the service. Without a selector none is.
func (s selected) chooses(pod candidate) bool {
	if len(s.selector) == 0 || pod.ref.Namespace != s.Ref.Namespace {
		return false
	}
	for key, value := range s.selector {
		if has, ok := pod.labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// portsOf are where a pod serves the service's ports; one that the pod does not name
// is left out.
func (s selected) portsOf(pod candidate) []model.EndpointPort {
	var list []model.EndpointPort
	for n, p := range s.Ports {
		port := model.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
		switch target := s.targets[n]; {
		case target.Type == intstr.Int && target.IntVal != 0:
			port.Port = uint16(target.IntVal)
		case target.Type == intstr.String:
			at := slices.IndexFunc(pod.ports, func(o model.EndpointPort) bool {
				return o.Name == target.StrVal && o.Protocol == p.Protocol
			})
			if at < 0 {
				continue
			}
			port.Port = pod.ports[at].Port
		}
		list = append(list, port)
	}
	return list
}

// candidate is a pod that may be behind services.
type candidate struct {
	ref         model.PodRef
	labels      map[string]string
	addresses   []netip.Addr
	ports       []model.EndpointPort
	node        string
	ready       bool
	terminating bool
}

func candidateOf(pod *corev1.Pod) candidate {
	c := candidate{
		ref:    model.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		labels: pod.Labels, node: pod.Spec.NodeName, terminating: pod.DeletionTimestamp != nil,
	}
	for _, container := range pod.Spec.Containers {
		for _, p := range container.Ports {
			c.ports = append(c.ports, model.EndpointPort{Name: p.Name, Protocol: protocolOf(&p.Protocol), Port: uint16(p.ContainerPort)})
		}
	}
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return c // it has no addresses any more
	}
	for _, ip := range pod.Status.PodIPs {
		c.addresses = append(c.addresses, addresses([]string{ip.IP})...)
	}
	c.ready = slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
	return c
}

// endpoints are one for each address, in the states that Kubernetes' controller
// gives them.
func (c candidate) endpoints(notReadyToo bool) []model.Endpoint {
	var list []model.Endpoint
	for _, a := range c.addresses {
		list = append(list, model.Endpoint{
			Address: a, Pod: c.ref, Node: c.node,
			Ready: (c.ready || notReadyToo) && !c.terminating, Serving: c.ready || notReadyToo, Terminating: c.terminating,
		})
	}
	return list
}

func comparePodNames(a, b podName) int {
	return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
}
