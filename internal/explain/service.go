// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/watch"
)

// Service writes where the service of a document would be asked for, and which of
// the other documents' pods would answer, at which interface. It reports false where
// a part of it would be refused; the reasons are written then. All is the same with
// each call.
func (e *Explainer) Service(w io.Writer, d manifest.Document, all []manifest.Document) (bool, error) {
	if e.cluster.services == nil {
		e.cluster = clusterOf(e.config, all)
	}
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
	would := e.resolve(d.Service, isRedirected)
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(rows, "service %s/%s (%s)%s\n", d.Service.Namespace, d.Service.Name, d.Position, would.left)
	for _, r := range would.Refusals {
		fmt.Fprintf(rows, "  would be refused: %s\n", r)
	}
	known := watch.ModelService(d.Service)
	if len(known.Ports) > 0 {
		fmt.Fprintln(rows, "  PORT\tPROTOCOL\tFRONTENDS\tBACKENDS")
	}
	for n, p := range known.Ports {
		var ports []plan.ResolvedPort
		if families := len(would.Ports) / len(known.Ports); families > 0 {
			ports = would.Ports[n*families : (n+1)*families]
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\t%s\n", cmp.Or(p.Name, "-"), p.Protocol,
			frontends(d.Service, p, ports), would.backends(d.Service, pods, n, ports))
	}
	return len(would.Refusals) == 0, rows.Flush()
}

// outcome is what a service would come to.
type outcome struct {
	plan.ResolvedService
	// left says who would resolve it, where that is not this node's switch.
	left string
	// isAtMain: whoever resolves it knows no other interface of a pod than the main one.
	isAtMain bool
}

// resolve is what the agent would make of a service of which pods here serve at a
// custom interface, or do not. Of one that is left to others nothing is refused.
func (e *Explainer) resolve(s *corev1.Service, isRedirected bool) outcome {
	if proxy := watch.OtherProxy(s); proxy != "" {
		return outcome{left: " is left to the proxy that it names, " + proxy, isAtMain: true}
	}
	mode := e.config.ServiceMode()
	facts := plan.ServiceFacts{
		Service: e.cluster.services[model.ServiceRef{Namespace: s.Namespace, Name: s.Name}], Holder: e.cluster.claims.Holder,
	}
	node := plan.Services{All: mode == config.ServicesAll || isRedirected}
	o := outcome{ResolvedService: node.Resolve(facts)}
	switch {
	case facts.Service.Headless():
		o.left, o.isAtMain = " is left to others: "+o.Left, true
		return o
	case mode == config.ServicesOff:
		o.left = " is left to others (services.mode is off)"
	case o.Left != "":
		o.left = " is left to others, as far as these pods go: " + o.Left
	default:
		return o
	}
	// Where others have it asked for is the same.
	facts.Holder = nil
	o.ResolvedService, o.isAtMain = plan.Services{All: true}.Resolve(facts), true
	o.Refusals = nil
	return o
}

// frontends are where a port would be asked for, given what it comes to in each
// family.
func frontends(s *corev1.Service, p model.ServicePort, resolved []plan.ResolvedPort) string {
	var words, last []string
	for _, r := range resolved {
		for _, f := range r.Made.Frontends {
			switch {
			case f.Kind == desired.FrontendNode:
				last = []string{fmt.Sprintf("*:%d", f.Port)}
			case f.Kind == desired.FrontendCluster && isStandIn(f.Address):
				words = append(words, fmt.Sprintf("(an address of the cluster's):%d", f.Port))
			default:
				words = append(words, netip.AddrPortFrom(f.Address, f.Port).String())
			}
		}
	}
	isAtNodes := s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
	if len(words) > 0 && isAtNodes && p.NodePort == 0 {
		last = []string{"*:(a port of the cluster's)"}
	}
	var once []string // of two families
	for _, word := range append(words, last...) {
		if !slices.Contains(once, word) {
			once = append(once, word)
		}
	}
	return cmp.Or(strings.Join(once, ", "), "none")
}

// backends are who would answer at the n-th port, given what it comes to.
func (o outcome) backends(s *corev1.Service, pods []*corev1.Pod, n int, resolved []plan.ResolvedPort) string {
	if slices.ContainsFunc(resolved, func(p plan.ResolvedPort) bool { return p.Refused != "" }) {
		return "none"
	}
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
			at := mainIfName
			if !o.isAtMain {
				at = cmp.Or(m.ServiceEndpointIf, mainIfName)
			}
			word = fmt.Sprintf("%s@%s:%d", pod.Name, at, p.Port)
		}
		words = append(words, word)
	}
	return cmp.Or(strings.Join(words, ", "), "none of these pods")
}
