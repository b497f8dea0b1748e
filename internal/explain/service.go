// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

// Service writes where the service of a document would be asked for, and which of
// the other documents' pods would answer, at which interface.
func (e *Explainer) Service(w io.Writer, d manifest.Document, all []manifest.Document) error {
	s := watch.ModelService(d.Service)
	var pods []*corev1.Pod
	isRedirected := false
	for _, other := range all {
		if other.Pod == nil {
			continue
		}
		if _, behind := watch.PortsBehind(d.Service, other.Pod); behind {
			pods = append(pods, other.Pod)
			isRedirected = isRedirected || watch.ModelPod(other.Pod).ServiceEndpointIf != ""
		}
	}
	if _, err := fmt.Fprintf(w, "service %s (%s)%s\n", s.Ref, d.Position, e.served(d.Service, isRedirected)); err != nil {
		return err
	}
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "  PORT\tPROTOCOL\tFRONTENDS\tBACKENDS")
	for n, p := range s.Ports {
		name := p.Name
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\t%s\n", name, p.Protocol, frontends(s, p, d.Service.Spec.Type), backends(d.Service, pods, n))
	}
	return rows.Flush()
}

// served says who would resolve a service, where that is not this node's switch.
func (e *Explainer) served(s *corev1.Service, isRedirected bool) string {
	switch mode := e.config.ServiceMode(); {
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		return " is headless: clients ask its pods by themselves"
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return " is a name alone"
	case mode == config.ServicesOff:
		return " is left to others (services.mode is off)"
	case mode == config.ServicesCustom && !isRedirected:
		return " is left to others: no pod here that it chooses serves at a custom interface"
	default:
		return ""
	}
}

// frontends are where a port would be asked for.
func frontends(s model.Service, p model.ServicePort, kind corev1.ServiceType) string {
	var words []string
	for _, a := range append(append(s.ClusterIPs, s.ExternalIPs...), s.LoadBalancerIPs...) {
		words = append(words, netip.AddrPortFrom(a, p.Port).String())
	}
	if s.Headless() {
		words = append([]string{fmt.Sprintf("(an address of the cluster's):%d", p.Port)}, words...)
	}
	switch {
	case p.NodePort != 0:
		words = append(words, fmt.Sprintf("*:%d", p.NodePort))
	case kind == corev1.ServiceTypeNodePort, kind == corev1.ServiceTypeLoadBalancer:
		words = append(words, "*:(a port of the cluster's)")
	}
	return strings.Join(words, ", ")
}

// backends are who would answer at the n-th port.
func backends(s *corev1.Service, pods []*corev1.Pod, n int) string {
	var words []string
	for _, pod := range pods {
		ports, _ := watch.PortsBehind(s, pod)
		word := fmt.Sprintf("%s: has no port of the name %q", pod.Name, s.Spec.Ports[n].TargetPort.String())
		for _, p := range ports {
			if p.Name != s.Spec.Ports[n].Name {
				continue
			}
			m := watch.ModelPod(pod)
			if m.Problems.Err() != nil {
				word = pod.Name + ": would be refused"
				continue
			}
			word = fmt.Sprintf("%s@%s:%d", pod.Name, cmp.Or(m.ServiceEndpointIf, mainIfName), p.Port)
		}
		words = append(words, word)
	}
	if words == nil {
		return "none of these pods"
	}
	return strings.Join(words, ", ")
}
