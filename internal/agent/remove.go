// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
)

// remover is a dataplane that can take away all that carries our mark.
type remover interface {
	RemoveAll(ctx context.Context, known desired.Set) error
}

// Remove takes away everything that polynic made on the node and in its pods:
// links, routes, rules, the nftables table, settings, and the agent's own state; and
// the node's keys in etcd, of which w is told. The relay runs, where there are taps;
// an agent may not.
func Remove(ctx context.Context, o Options, w io.Writer) error {
	if err := netns.Privileged(); err != nil {
		return err
	}
	earlier, err := openJournal(o)
	if err != nil {
		return err
	}
	defer earlier.journal.Close()
	untold := unpublish(ctx, o.Config, w) // first: etcd may be in the network that is removed
	for _, name := range madeBy(o.Config) {
		o.Config.Dataplane = name
		if err := removeMade(ctx, o, earlier.attachments); err != nil {
			return err
		}
	}
	return errors.Join(untold, os.RemoveAll(o.Config.StateDir), os.RemoveAll(o.Config.NetnsDir()), os.RemoveAll(o.Config.MemifDir()),
		os.RemoveAll(memifdir.Dir(o.Config.MemifDir()).Given()),
		deviceplugin.RemoveSocket(o.Config.Memif.KubeletDir))
}

// madeBy are the dataplanes whose work there may be: the one that is configured, and
// any that an agent had before. Who takes polynic off a cluster has another
// configuration than its agents had.
func madeBy(c config.Config) []string {
	var list []string
	for _, name := range []string{config.DataplaneVPP, config.DataplaneLinux} {
		if _, err := os.Stat(stateFile(c, name)); err == nil || name == c.Dataplane {
			list = append(list, name)
		}
	}
	return list
}

// removeMade takes away what the dataplane made.
func removeMade(ctx context.Context, o Options, attachments []model.Attachment) error {
	plane, err := openDataplane(o.Config, o.Log)
	if err != nil {
		return err
	}
	defer plane.close(o.Log)
	driver, ok := plane.driver.(remover)
	if !ok {
		return fmt.Errorf("dataplane %s cannot be removed as a whole", o.Config.Dataplane)
	}
	return driver.RemoveAll(ctx, planned(o, attachments))
}

// Pods lists the pods that have interfaces here still, in order, while no agent
// runs. Those whose sandbox is gone, with or without a DEL, have none.
func Pods(o Options) ([]model.PodRef, error) {
	earlier, err := openJournal(o)
	if err != nil {
		return nil, err
	}
	defer earlier.journal.Close()
	var pods []model.PodRef
	for _, att := range earlier.attachments {
		sandbox, err := netns.OpenExact(att.Netns)
		if err != nil {
			continue
		}
		pods = append(pods, att.Pod)
		if err := sandbox.Close(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(pods, func(a, b model.PodRef) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(pods), nil
}

// planned is what the sandboxes of the journal should have; those on their way
// out may have it still.
func planned(o Options, attachments []model.Attachment) desired.Set {
	ranges, err := rangesKnown(o.Config)
	var node plan.Node
	if err == nil && ranges != nil {
		node, _, err = network(o.Config, ranges)
	}
	if err != nil || ranges == nil {
		o.Log.Warn("what pods should have is not known: only what bears a mark is removed", slog.Any("error", err))
		return nil
	}
	all := desired.Set{}
	for _, att := range attachments {
		att.Leaving = false
		objects, err := node.Attachment(att)
		if err != nil {
			o.Log.Warn("cannot plan a sandbox of the journal", slog.String("sandbox", att.ID.String()), slog.Any("error", err))
		}
		all.Add(objects...)
	}
	return all
}
