// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"cmp"
	"context"
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
// addresses are given to nobody before.
func (a *Attacher) Adopt(ctx context.Context, found desired.Set, known []model.Attachment) []model.Attachment {
	owners := map[model.AttachmentID][]desired.Object{}
	for _, o := range found.Sorted() {
		owner := o.Key().Owner
		if !owner.IsZero() && !slices.ContainsFunc(known, func(k model.Attachment) bool { return k.ID == owner }) {
			owners[owner] = append(owners[owner], o)
		}
	}
	var adopted []model.Attachment
	for owner, objects := range owners {
		att := attachmentOf(owner, objects)
		if att.Netns.Path == "" {
			a.config.Log.WarnContext(ctx, "removing what the journal does not know: its network namespace is not found",
				slog.String("sandbox", owner.String()), slog.String("pod", att.Pod.String()))
			a.hold(att)
			continue
		}
		a.order(ctx, &att)
		a.config.Log.InfoContext(ctx, "taking up a sandbox that the journal lost",
			slog.String("sandbox", owner.String()), slog.String("pod", att.Pod.String()))
		if err := a.config.Journal.Put(att); err != nil {
			a.config.Log.WarnContext(ctx, "cannot write down a sandbox", slog.Any("error", err))
		}
		adopted = append(adopted, att)
	}
	return adopted
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

// order brings the interfaces into the order that ADD had: the main one, and
// the custom ones as the pod's annotation lists them. The pod's label is found on
// the way.
func (a *Attacher) order(ctx context.Context, att *model.Attachment) {
	rank := map[string]int{att.ID.IfName: -1}
	pod, ok, err := a.config.Pods.Get(ctx, att.Pod)
	a.labelsLost = a.labelsLost || err != nil
	if err == nil && ok {
		att.Pod.UID = pod.Ref.UID
		if att.ID.Main() || len(att.Interfaces) > 1 {
			att.MicroserviceLabel = LabelOf(pod)
		}
		for n, i := range pod.Request {
			rank[i.Name] = n
		}
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
