// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"sync"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
)

// watching tells of two parts, of which either may be away: VPP, and the relay with
// the kernel.
type watching struct {
	report func(dataplane.Hit)

	mu          sync.Mutex // guards what follows
	vpp, kernel error      // why it is away
}

// Watch implements dataplane.Driver. It listens to VPP, the kernel and the relay.
// Of what others do in VPP it hears when an interface goes or is taken down; the rest
// is found when everything is compared.
func (d *Driver) Watch(ctx context.Context, report func(dataplane.Hit)) error {
	// Both, until they are heard of: one alone is no dataplane that is back.
	w := &watching{report: report, vpp: dataplane.ErrAway, kernel: dataplane.ErrAway}
	report(dataplane.Hit{Away: dataplane.ErrAway})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.api.Watch(ctx, w.takeVPP, func(m api.Message) { d.event(w, m) }) })
	group.Go(func() error { return d.ports.Watch(ctx, w.takeKernel) })
	group.Go(func() error { return d.putToSleep(ctx) })
	return group.Wait()
}

// takeVPP takes whether VPP answers.
func (w *watching) takeVPP(away error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vpp = away
	w.tell(dataplane.Hit{All: true})
}

// takeKernel takes what the kernel's part noticed.
func (w *watching) takeKernel(h dataplane.Hit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.Away != nil || h.All {
		w.kernel = h.Away
	}
	w.tell(h)
}

// tell says more than a hit only where a part is away; under mu.
func (w *watching) tell(h dataplane.Hit) {
	if away := errors.Join(w.vpp, w.kernel); away != nil && (h.All || h.Away != nil) {
		h = dataplane.Hit{Away: away}
	}
	w.report(h)
}

// event finds the owner of an interface that somebody deleted, or took down.
func (d *Driver) event(w *watching, m api.Message) {
	e, ok := m.(*interfaces.SwInterfaceEvent)
	if ok && e.Flags&interface_types.IF_STATUS_API_FLAG_LINK_UP != 0 {
		d.sleeper.linked(e.SwIfIndex)
	}
	if !ok || !e.Deleted && e.Flags&interface_types.IF_STATUS_API_FLAG_ADMIN_UP != 0 {
		return
	}
	k, _ := d.knownNow()
	if k == nil {
		return
	}
	owner, isOurs := k.owner(e.SwIfIndex)
	if !isOurs {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(dataplane.Hit{Owners: []desired.Owner{owner}})
}

// knownNow is what is known of the VPP that we were last connected with.
func (d *Driver) knownNow() (*known, *vppapi.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		return nil, nil
	}
	return d.known, d.known.conn
}
