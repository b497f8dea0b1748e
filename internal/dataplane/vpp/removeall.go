// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Reap implements dataplane.Driver. VPP's part is gone at once; the kernel's is not.
func (d *Driver) Reap(ctx context.Context) (map[desired.Owner]error, error) { return d.ports.Reap(ctx) }

// RemoveAll takes away everything that carries our mark, whoever asked for it,
// and puts back the settings that were changed: what an uninstall does. Known
// is what sandboxes should have. Nobody else may use the driver meanwhile. Of a VPP
// that does not run nothing is left.
func (d *Driver) RemoveAll(ctx context.Context, all desired.Set) error {
	errs := []error{errors.Join(d.RemoveServices(ctx), d.removeFromVPP(ctx, all))}
	if errors.Is(errs[0], dataplane.ErrAway) {
		d.log.WarnContext(ctx, "VPP does not answer; what it may have stays until it ends", slog.Any("error", errs[0]))
		errs = nil
	}
	errs = append(errs, d.ports.RemoveAll(ctx, portsAmong(all)), d.node.Remove(ctx), d.removeHostLinks(),
		os.RemoveAll(filepath.Join(d.config.RunDir, socketDir)))
	return errors.Join(errs...)
}

// removeFromVPP removes all ports, and then what is the node's.
func (d *Driver) removeFromVPP(ctx context.Context, known desired.Set) error {
	all, err := d.Observe(ctx, dataplane.Scope{Want: known, Everything: true})
	if err != nil {
		return err
	}
	maps.Copy(all, known)
	work := map[desired.Owner]*dataplane.Work{}
	for _, change := range desired.Diff(all, nil) {
		owner := change.Key().Owner
		if owner.IsZero() {
			continue
		}
		if work[owner] == nil {
			work[owner] = &dataplane.Work{Owner: owner}
		}
		work[owner].Changes = append(work[owner].Changes, change)
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
	return errors.Join(append(errs, d.removeNode(ctx))...)
}

// removeNode removes what is the node's, of which nobody needs to know what it
// should be.
func (d *Driver) removeNode(ctx context.Context) error {
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	v, err := d.read(ctx, k.conn)
	if err != nil {
		return err
	}
	d.nodeMu.Lock()
	defer d.nodeMu.Unlock()
	var errs []error
	for tag := range v.tags {
		if name, ok := strings.CutPrefix(tag, hostLinkTag("")); ok {
			errs = append(errs, d.removeHostLink(ctx, desired.HostLink{Name: name}))
		}
	}
	return errors.Join(append(errs, d.removeNetwork(ctx, desired.Network{Name: model.DefaultNetwork}))...)
}

// removeHostLinks removes the kernel's pairs, whatever they are called.
func (d *Driver) removeHostLinks() error {
	links, err := d.kernel.Links()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if l.Alias == hostAlias && l.Group == nodeGroup {
			errs = append(errs, d.removeHostEnds(desired.HostLink{Name: l.Name}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the node's link: %w", err)
	}
	return nil
}
