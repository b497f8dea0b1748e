// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// RemoveAll takes away everything that carries our mark, whoever asked for it,
// and puts back the settings that were changed: what an uninstall does. Known
// is what sandboxes should have: it says more than is found, such as in which
// namespace a pod's end is. Nobody else may use the driver meanwhile.
func (d *Driver) RemoveAll(ctx context.Context, known desired.Set) error {
	all, err := d.Observe(ctx, dataplane.Scope{Everything: true})
	if err != nil {
		return err
	}
	if d.portsOnly {
		known = portsAmong(known)
	}
	maps.Copy(all, known)
	work := map[desired.Owner]*dataplane.Work{}
	for _, change := range desired.Diff(all, nil) {
		owner := change.Key().Owner
		w := work[owner]
		if w == nil {
			w = &dataplane.Work{Owner: owner}
			work[owner] = w
		}
		w.Changes = append(w.Changes, change)
	}
	list := make([]dataplane.Work, 0, len(work))
	for _, w := range work {
		list = append(list, *w)
	}
	failed := make(chan error, len(list))
	d.Apply(ctx, list, func(_ desired.Owner, err error) { failed <- err })
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	left, err := d.Reap(ctx)
	errs = slices.AppendSeq(append(errs, err), maps.Values(left))
	if !d.portsOnly {
		errs = append(errs, d.services.RemoveServices(ctx), d.removeRoutes(),
			d.removeNetwork(ctx, model.DefaultNetwork), d.removeNetwork(ctx, model.StubNetwork), d.host.Remove(ctx))
	}
	return errors.Join(errs...)
}

// removeRoutes removes routes of ours that outlived their links' owners.
func (d *Driver) removeRoutes() error {
	routes, err := d.node.socket.Routes(protocol)
	if err != nil {
		return err
	}
	var b nl.Batch
	for _, r := range routes {
		b.DelRoute(r).OnError(func(err error) error {
			if errors.Is(err, unix.ESRCH) {
				return nil
			}
			return fmt.Errorf("remove the route to %s: %w", r.Dst, err)
		})
	}
	return d.node.socket.Do(&b)
}
