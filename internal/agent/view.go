// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/reconcile"
)

// Interfaces implements inspect.View. Of an agent that has just started it waits
// for the first look: before that nobody knows which interfaces are there, and to
// call one down that carries its pod's traffic would be wrong.
func (a *agent) Interfaces(ctx context.Context) []inspect.Interface {
	select {
	case <-a.reconciler.Synced():
	case <-ctx.Done():
		return nil // whoever asked is gone
	}
	var list []inspect.Interface
	fares, counted := a.memifStatus(ctx), a.counters(ctx)
	for _, att := range a.inventory.Attachments() {
		described, err := a.attacher.Describe(att)
		if err != nil {
			continue // of a newer version; Status tells
		}
		for n, i := range described.Interfaces {
			shown := inspect.Interface{
				Namespace: att.Pod.Namespace, Pod: att.Pod.Name, Name: i.Name,
				Type: i.Type, Network: i.Network, IPs: i.Addresses, MAC: i.MAC, MTU: i.MTU,
				Node: a.Config.NodeName, Port: a.portName(att.ID, i.Name),
			}
			if n > 0 {
				shown.Published = a.published.of(att)
			}
			shown.State, shown.Reason = a.stateOf(att, i.Name)
			if m := att.Interfaces[n].Memif; m != nil {
				status := fares[desired.Key{Owner: att.ID, Kind: desired.KindMemif, Name: i.Name}]
				shown.Memif = &inspect.Memif{
					ID: m.ID, Socket: i.SocketPath, Container: m.Container, Folder: m.Folder,
					Connected: status.Application != nil, MemifStatus: status,
				}
				if fares != nil {
					shown.Counters = new(status.Counters())
				}
			} else if c, isCounted := counted[countedKey(att.ID, i)]; isCounted {
				shown.Counters = &c
			}
			list = append(list, shown)
		}
	}
	return list
}

// memifStatus asks the dataplane how its memifs fare, if there are any.
func (a *agent) memifStatus(ctx context.Context) map[desired.Key]model.MemifStatus {
	teller, ok := a.plane.driver.(dataplane.Memifs)
	if !ok || len(a.usedAllocations()) == 0 {
		return nil
	}
	found, err := teller.Memifs(ctx)
	if err != nil {
		a.Log.DebugContext(ctx, "how memifs fare is not known", slog.Any("error", err)) // Status tells
	}
	return found
}

// countLimit bounds asking the dataplane for counters, which nobody waits for long.
const countLimit = 500 * time.Millisecond

// counters asks the dataplane what passed through veths and taps.
func (a *agent) counters(ctx context.Context) map[desired.Key]model.Counters {
	teller, ok := a.plane.driver.(dataplane.Counters)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countLimit)
	defer cancel()
	found, err := teller.Counters(ctx)
	if err != nil {
		a.Log.DebugContext(ctx, "what passed through interfaces is not known", slog.Any("error", err)) // Status tells
	}
	return found
}

func countedKey(owner desired.Owner, i attach.ResultInterface) desired.Key {
	kind := desired.KindVeth
	if i.Type == podif.Tap {
		kind = desired.KindTap
	}
	return desired.Key{Owner: owner, Kind: kind, Name: i.Name}
}

func (a *agent) stateOf(att model.Attachment, name string) (state inspect.State, reason string) {
	if att.Leaving {
		return inspect.StateLeaving, ""
	}
	stands, err := a.reconciler.InterfaceState(att.ID, name)
	switch {
	case stands == reconcile.Ready && att.NameOnly:
		return inspect.StateUp, fmt.Sprintf("found without its record: %v, so it has neither its microservice label nor its services", attach.ErrNameOnly)
	case stands == reconcile.Ready:
		return inspect.StateUp, ""
	case err != nil:
		return inspect.StateDown, err.Error()
	default:
		return inspect.StateDown, "it is being made"
	}
}

func (a *agent) portName(owner desired.Owner, port string) string {
	if namer, ok := a.plane.driver.(dataplane.Namer); ok {
		return namer.PortName(owner, port)
	}
	return ""
}

// Plan implements inspect.View.
func (a *agent) Plan() desired.Set { return a.reconciler.Wanted() }

// Status implements inspect.View.
func (a *agent) Status() inspect.Status {
	status := inspect.Status{Node: a.Config.NodeName, Version: a.Version}
	status.Since = a.readiness.get()
	status.Ready = !status.Since.IsZero()
	if why := a.readiness.why(); why != nil {
		status.Problems = append(status.Problems, inspect.Problem{Object: "agent", Reason: why.Error()})
	}
	status.Problems = append(status.Problems, a.cluster.problems()...)
	owners := []desired.Owner{{}}
	for _, att := range a.inventory.Attachments() {
		status.Counts.Attachments++
		status.Counts.Interfaces += len(att.Interfaces)
		owners = append(owners, att.ID)
	}
	status.Counts.Objects = len(a.reconciler.Wanted())
	if _, reason := a.reconciler.Away(); reason != nil {
		status.Problems = append(status.Problems, inspect.Problem{Object: inspect.Dataplane, Reason: reason.Error()})
	}
	for _, owner := range owners {
		if state, err := a.reconciler.State(owner); state == reconcile.Failing {
			status.Problems = append(status.Problems, inspect.Problem{Object: nameOf(owner), Reason: err.Error()})
		}
	}
	a.published.tell(&status)
	if err := a.services.failing(); err != nil {
		status.Problems = append(status.Problems, inspect.Problem{Object: "services", Reason: err.Error()})
	}
	status.Relay = a.relayStatus()
	return status
}

// relayLimit bounds asking the relay how it fares.
const relayLimit = 500 * time.Millisecond

func (a *agent) relayStatus() *inspect.Relay {
	ctx, cancel := context.WithTimeout(context.Background(), relayLimit)
	defer cancel()
	w, err := a.plane.relay.Worker(ctx)
	if err != nil {
		return nil // the problems tell
	}
	told := &inspect.Relay{Restarts: w.Restarts}
	if !w.LastRestart.IsZero() {
		told.LastRestart = &w.LastRestart
	}
	return told
}

func nameOf(owner desired.Owner) string {
	if owner.IsZero() {
		return "node"
	}
	return "sandbox " + owner.String()
}
