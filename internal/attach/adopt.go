// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Adopt makes attachments of the ports found in the dataplane whose owners are
// not among the known, because the journal was damaged or went, and writes them
// down. It comes before Restore. What cannot be made out, because its namespace
// is not found, is left out, and removed by the reconciler like any stray; its
// addresses are given to nobody before. For those of the known of which an earlier
// Adopt could not find out whether the pod is theirs it tries again, in place.
func (a *Attacher) Adopt(ctx context.Context, found desired.Set, known []model.Attachment) []model.Attachment {
	owners := map[model.AttachmentID][]desired.Object{}
	for _, o := range found.Sorted() {
		owner := o.Key().Owner
		if !owner.IsZero() && !slices.ContainsFunc(known, func(k model.Attachment) bool { return k.ID == owner }) {
			owners[owner] = append(owners[owner], o)
		}
	}
	var lost []model.Attachment
	for owner, objects := range owners {
		lost = append(lost, attachmentOf(owner, objects))
	}
	// A pod's addresses are its container's: any attachment of that has them.
	addresses := map[string][]netip.Addr{}
	for _, att := range slices.Concat(known, lost) {
		id := att.ID.ContainerID
		addresses[id] = append(addresses[id], att.Addresses()...)
	}
	for n := range known {
		if att := &known[n]; att.NameOnly && !att.Leaving {
			if a.identify(ctx, att, addresses[att.ID.ContainerID]); !att.NameOnly {
				a.writeDown(ctx, *att)
			}
		}
	}
	var adopted []model.Attachment
	for _, att := range lost {
		log := a.config.Log.With(slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()))
		if att.Netns.Path == "" {
			log.WarnContext(ctx, "removing what the journal does not know: its network namespace is not found")
			a.hold(att)
			continue
		}
		log.InfoContext(ctx, "taking up a sandbox that the journal lost")
		a.identify(ctx, &att, addresses[att.ID.ContainerID])
		a.writeDown(ctx, att)
		adopted = append(adopted, att)
	}
	return adopted
}

func (a *Attacher) writeDown(ctx context.Context, att model.Attachment) {
	if err := a.config.Journal.Put(att); err != nil {
		a.config.Log.WarnContext(ctx, "cannot write down a sandbox", slog.String("sandbox", att.ID.String()), slog.Any("error", err))
	}
}

func attachmentOf(owner model.AttachmentID, objects []desired.Object) model.Attachment {
	att := model.Attachment{ID: owner}
	for _, o := range objects {
		port, ok := desired.PortOf(o)
		if !ok || port.Network == "" { // its end in the network is gone
			continue
		}
		i := model.Interface{Name: port.Pod.Name, Type: podif.Veth, Network: port.Network, Addresses: hosts(port.Pod.Addresses)}
		switch o := o.(type) {
		case desired.Tap:
			i.Type, i.Queues = podif.Tap, max(o.Queues, 1)
		case desired.Memif:
			i.Type, i.Queues, i.Memif = podif.Memif, max(o.Queues, 1), memifOf(o)
		case desired.Network, desired.HostLink, desired.Veth, desired.Neighbor, desired.Route:
		}
		att.Interfaces = append(att.Interfaces, i)
		att.MTU, att.Network = port.MTU, port.CNINetwork
		if port.Pod.Netns.Path != "" {
			att.Netns = port.Pod.Netns
		}
		if namespace, name, ok := strings.Cut(port.PodName, "/"); ok {
			att.Pod.Namespace, att.Pod.Name = namespace, name
		}
	}
	return att
}

// memifOf is what a memif shows of itself. Its secret is known to the relay
// alone, which goes on serving it.
func memifOf(m desired.Memif) *model.Memif {
	return &model.Memif{ID: m.ID, Allocation: filepath.Base(m.Folder), Folder: m.Folder, AcceptUnsealed: m.AcceptUnsealed}
}

func hosts(prefixes []netip.Prefix) []netip.Addr {
	var list []netip.Addr
	for _, p := range prefixes {
		list = append(list, p.Addr())
	}
	slices.SortFunc(list, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return list
}

// ErrNameOnly is why it is not known what is published for a sandbox that was read off
// the dataplane.
var ErrNameOnly = errors.New("it is not known whether the pod of its name is its own")

// identify finds the pod of a sandbox, of which the dataplane tells the name alone:
// another pod may have that by now, with the label that this one had. It is the
// sandbox's where the cluster says that it has an address of the sandbox's container;
// where a pod is a file, or has no UID, the name is all there is. What its label is,
// and at which interface its services are served, follows from that, and is not
// guessed.
func (a *Attacher) identify(ctx context.Context, att *model.Attachment, addresses []netip.Addr) {
	pod, found, err := a.config.Pods.Get(ctx, att.Pod)
	if !found || err != nil {
		found, pod = false, model.Pod{}
	}
	isIts := found && (pod.OfFile || pod.Ref.UID == "" || slices.ContainsFunc(addresses, func(x netip.Addr) bool { return slices.Contains(pod.Addresses, x) }))
	if isIts || !att.NameOnly { // else an earlier one did what it could
		order(att, pod)
	}
	if att.NameOnly = !isIts; att.NameOnly {
		a.config.Log.WarnContext(ctx, "nothing new is published for a sandbox that may be of another pod than has its name now",
			slog.String("sandbox", att.ID.String()), slog.String("pod", att.Pod.String()), slog.Any("error", err))
		return
	}
	att.Pod.UID = pod.Ref.UID
	if att.ID.Main() || len(att.Interfaces) > 1 {
		att.MicroserviceLabel = LabelOf(pod)
	}
	for n := range att.Interfaces {
		i := &att.Interfaces[n]
		i.ServiceEndpoint = pod.ServiceEndpointIf == i.Name && i.Network == model.DefaultNetwork
	}
}

// order brings the interfaces into the order that ADD had: the main one, and
// the custom ones as the pod's annotation lists them.
func order(att *model.Attachment, pod model.Pod) {
	rank := map[string]int{att.ID.IfName: -1}
	for n, i := range pod.Request {
		rank[i.Name] = n
	}
	slices.SortStableFunc(att.Interfaces, func(x, y model.Interface) int {
		return cmp.Or(cmp.Compare(rank[x.Name], rank[y.Name]), cmp.Compare(x.Name, y.Name))
	})
}

// hold has a sandbox removed that is no attachment, and keeps its addresses until
// nothing of it exists. Restore takes them, once it is known which are another's.
func (a *Attacher) hold(att model.Attachment) {
	a.held[att.ID] = att.Addresses()
	a.config.Reconciler.Forget(att.ID, nil)
}

// takeHeld takes the held addresses that nobody else has. The caller holds a.mu.
func (a *Attacher) takeHeld() {
	for id, addresses := range a.held {
		a.held[id] = slices.DeleteFunc(addresses, func(address netip.Addr) bool {
			return a.config.Addresses.Take(address) != nil // another's, or of a former range
		})
	}
}
