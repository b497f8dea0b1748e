// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package explain says what a manifest would get: the interfaces of each pod,
// their addresses and routes, or what is wrong and where. It decides nothing by
// itself: the grammar, what is served, the addresses' ranges and the routes are
// those that the agent uses.
package explain

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/watch"
)

// mainIfName is what a runtime calls a pod's main interface.
const mainIfName = "eth0"

// Explainer explains for one node. It is for one goroutine: what one document takes
// another one does not get.
type Explainer struct {
	config   config.Config
	mainType podif.Type
	form     ligato.Form // of keys in etcd
	ranges   []netip.Prefix
	node     plan.Node
	labelled map[string]manifest.Document // the pod that has a microservice label
	cluster  cluster                      // of the documents' services; empty until one is asked for
}

// New makes an explainer for the node of an agent's configuration.
func New(c config.Config) (*Explainer, error) {
	mainType, err := c.Eth0Type()
	if err != nil {
		return nil, err
	}
	form, err := ligato.ParseForm(c.Etcd.KeyForm)
	if err != nil {
		return nil, fmt.Errorf("etcd.keyForm: %w", err)
	}
	e := &Explainer{config: c, mainType: mainType, form: form, labelled: map[string]manifest.Document{}}
	for _, s := range c.Network.Subnets {
		share, err := ipam.NodeRange(s.CIDR, s.NodePrefixLen, c.NodeID)
		if err != nil {
			return nil, err
		}
		e.ranges = append(e.ranges, share)
	}
	addresses, err := ipam.New(e.ranges...)
	if err != nil {
		return nil, err
	}
	e.node.Default = desired.Network{Name: model.DefaultNetwork, Gateways: addresses.Gateways()}
	for _, s := range c.Network.Subnets {
		e.node.Default.Inside = append(e.node.Default.Inside, s.CIDR)
	}
	return e, nil
}

// Pod writes what a document's pod would get. It reports false where the pod
// would be refused; the reasons are written then.
func (e *Explainer) Pod(w io.Writer, d manifest.Document) (bool, error) {
	pod := watch.ModelPod(d.Pod)
	problems := slices.Concat(pod.Problems, podif.Validate(pod.Request, mainIfName))
	var dealt []model.Memif
	if problems.Err() == nil {
		service := attach.Service{Memif: e.config.Memif.Enabled, Etcd: e.config.Etcd.Enabled()}
		problems = append(problems, notServed(service, pod, d.Pod.Annotations[podif.CustomIfAnnotation])...)
	}
	if problems.Err() == nil {
		var told podif.Problems
		dealt, told = memifs(pod.Request, d.Pod, uint32(e.config.Memif.FirstID))
		problems = slices.Concat(problems, told, offered(d.Pod, e.config.Memif.Devices))
	}
	if problems.Err() == nil && !d.Pod.Spec.HostNetwork {
		problems = append(problems, e.takeLabel(d, attach.LabelOf(pod))...)
	}
	if d.Pod.Spec.HostNetwork {
		problems = append(problems, problem(podif.Warning, "the pod is in the node's own network (hostNetwork), and gets no interfaces"))
	}
	if pod.ServiceEndpointIf != "" && e.config.ServiceMode() == config.ServicesOff {
		problems = append(problems, podif.Problem{
			Severity: podif.Warning, Key: podif.ServiceEndpointIfAnnotation,
			Reason: "it has no effect: no services are served (services.mode is off)",
		})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "pod %s (%s)", pod.Ref, d.Position)
	isRefused := problems.Err() != nil
	if isRefused {
		text.WriteString(" would be refused")
	}
	text.WriteString("\n")
	for _, p := range problems {
		text.WriteString("  " + strings.ReplaceAll(d.Describe(p), "\n", "\n  ") + "\n")
	}
	if _, err := io.WriteString(w, text.String()); err != nil || isRefused {
		return !isRefused, err
	}
	if d.Pod.Spec.HostNetwork {
		return true, nil
	}
	return true, e.interfaces(w, pod, dealt)
}

// notServed lists what is well-formed and cannot be given yet, with where it is
// in the annotation.
func notServed(service attach.Service, pod model.Pod, annotation string) podif.Problems {
	var problems podif.Problems
	if err := service.ServedLabel(attach.LabelOf(pod)); err != nil {
		problems = append(problems, podif.Problem{Severity: podif.Error, Key: podif.MicroserviceLabelAnnotation, Reason: err.Error()})
	}
	for _, i := range pod.Request {
		err := service.Served(i)
		if err == nil {
			continue
		}
		p := podif.Problem{
			Severity: podif.Error, Key: podif.CustomIfAnnotation, Interface: i.Name,
			Reason: strings.TrimPrefix(err.Error(), "interface "+i.Name+": "),
		}
		p.Offset, p.Length = locate(annotation, i.Name)
		problems = append(problems, p)
	}
	return problems
}

// locate finds the element that asks for an interface.
func locate(annotation, name string) (offset, length int) {
	at := 0
	for element := range strings.SplitSeq(annotation, ",") {
		trimmed := strings.TrimSpace(element)
		if first, _, _ := strings.Cut(trimmed, "/"); strings.TrimSpace(first) == name {
			return at + strings.Index(element, trimmed), len(trimmed)
		}
		at += len(element) + 1
	}
	return 0, 0
}

// interfaces writes the pod's interfaces as the plan would have them.
func (e *Explainer) interfaces(w io.Writer, pod model.Pod, memifs []model.Memif) error {
	request := append(podif.Request{{Name: mainIfName, Type: e.mainType, Network: model.DefaultNetwork}}, pod.Request...)
	att, err := e.attachment(request, memifs)
	if err != nil {
		return err
	}
	ports, err := e.ports(att)
	if err != nil {
		return err
	}
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "  INTERFACE\tTYPE\tNETWORK\tADDRESSES\tMTU\tROUTES")
	for _, i := range request {
		port := ports[i.Name]
		leads := routes(port.Pod)
		if i.Type == podif.Memif {
			leads, memifs = application(memifs[0]), memifs[1:]
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\t%s\t%d\t%s\n", i.Name, i.Type, i.Network, e.addresses(port), port.MTU, leads)
	}
	if pod.ServiceEndpointIf != "" && e.config.ServiceMode() != config.ServicesOff {
		fmt.Fprintf(rows, "  services are served at %s\n", pod.ServiceEndpointIf)
	}
	if err := rows.Flush(); err != nil {
		return err
	}
	att.MicroserviceLabel = attach.LabelOf(pod)
	return e.published(w, att)
}

// attachment is one with addresses as an empty node would give them.
func (e *Explainer) attachment(request podif.Request, memifs []model.Memif) (model.Attachment, error) {
	addresses, err := ipam.New(e.ranges...)
	if err != nil {
		return model.Attachment{}, err
	}
	att := model.Attachment{
		ID:  model.AttachmentID{ContainerID: "explain", IfName: mainIfName},
		MTU: e.config.Network.MTU,
	}
	for _, i := range request {
		made := model.Interface{Name: i.Name, Type: i.Type, Network: i.Network, Queues: e.config.Network.TapQueues}
		if i.Type == podif.Memif {
			made.Memif, memifs = &memifs[0], memifs[1:]
		}
		if i.Network == model.DefaultNetwork {
			made.Addresses, err = addresses.Allocate()
		}
		if err != nil {
			return att, fmt.Errorf("interface %s: %w", i.Name, err)
		}
		att.Interfaces = append(att.Interfaces, made)
	}
	return att, nil
}

// ports plans an attachment.
func (e *Explainer) ports(att model.Attachment) (map[string]desired.Port, error) {
	objects, err := e.node.Attachment(att)
	if err != nil {
		return nil, err
	}
	ports := map[string]desired.Port{}
	for _, o := range objects {
		if p, ok := desired.PortOf(o); ok {
			ports[p.Pod.Name] = p
		}
	}
	return ports, nil
}

func (e *Explainer) addresses(p desired.Port) string {
	var words []string
	for _, address := range p.Pod.Addresses {
		family := "IPv6"
		if address.Addr().Is4() {
			family = "IPv4"
		}
		from := slices.IndexFunc(e.ranges, func(r netip.Prefix) bool { return r.Contains(address.Addr()) })
		words = append(words, fmt.Sprintf("one %s of %s", family, e.ranges[from]))
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ", ")
}

// routes says what of the pod's traffic leaves by this interface.
func routes(end desired.PodEnd) string {
	var gateways []string
	number := 0
	for _, r := range end.Routes {
		if r.Dst.Bits() == 0 {
			gateways = append(gateways, r.Via.String())
			number = r.Table
		}
	}
	via := strings.Join(gateways, ", ")
	switch {
	case via == "":
		return "none; addresses and routes are up to the pod"
	case number == desired.MainTable:
		return "everything, via " + via
	default:
		return fmt.Sprintf("from its own addresses and from sockets bound to it, via %s (table %d)", via, number)
	}
}
