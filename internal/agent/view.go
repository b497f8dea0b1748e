// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/reconcile"
)

// Interfaces implements inspect.View.
func (a *agent) Interfaces() []inspect.Interface {
	var list []inspect.Interface
	for _, att := range a.inventory.Attachments() {
		described, err := a.attacher.Describe(att)
		if err != nil {
			continue // of a newer version; Status tells
		}
		state := a.stateOf(att)
		for _, i := range described.Interfaces {
			list = append(list, inspect.Interface{
				Namespace: att.Pod.Namespace, Pod: att.Pod.Name, Name: i.Name,
				Type: i.Type, Network: i.Network, IPs: i.Addresses, MAC: i.MAC, MTU: i.MTU,
				State: state, Node: a.Config.NodeName, Port: a.portName(att.ID, i.Name),
			})
		}
	}
	return list
}

func (a *agent) stateOf(att model.Attachment) inspect.State {
	if att.Leaving {
		return inspect.StateLeaving
	}
	if state, _ := a.reconciler.State(att.ID); state == reconcile.Ready {
		return inspect.StateUp
	}
	return inspect.StateDown
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
	return status
}

func nameOf(owner desired.Owner) string {
	if owner.IsZero() {
		return "node"
	}
	return "sandbox " + owner.String()
}
