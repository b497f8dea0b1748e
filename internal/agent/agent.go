// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package agent is the node agent: the only place where its parts meet, and
// the only one that names a dataplane driver. Run is to be read from top to
// bottom: what is made, what feeds what, and in which order it starts.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/reconcile"
	"github.com/polynic/polynic/internal/report"
)

// adoptLimit is how long a start asks about pods that the journal does not know.
const adoptLimit = 10 * time.Second

// bootIDFile tells one run of the kernel from the next.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Options is what an agent is started with.
type Options struct {
	Config  config.Config
	Version string
	Log     *slog.Logger
}

// Run is the agent, until ctx ends (nil) or a part fails. What it made in the
// dataplane stays; the next agent takes it up.
func Run(ctx context.Context, o Options) error {
	if err := netns.Privileged(); err != nil {
		return err
	}
	kept, err := openJournal(o)
	if err != nil {
		return err
	}
	defer kept.journal.Close()
	if err := os.MkdirAll(o.Config.RunDir, 0o700); err != nil { // a reboot takes it away
		return fmt.Errorf("run folder: %w", err)
	}

	plane, err := openDataplane(o.Config, o.Log)
	if err != nil {
		return err
	}
	defer plane.close(o.Log)

	cluster, err := openCluster(o)
	if err != nil {
		return err
	}
	defer cluster.close()

	ranges, err := learnRanges(ctx, o, cluster, kept.attachments)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	a, err := compose(o, kept, plane, cluster, ranges)
	if err != nil {
		return err
	}
	if a.memifs != nil {
		defer a.memifs.Close()
	}
	if err := a.takeUp(ctx, kept); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	return a.run(ctx)
}

// takeUp restores what the journal kept, and what the dataplane shows beside
// that: a journal that lost its end, or went altogether, looks like a good one.
func (a *agent) takeUp(ctx context.Context, kept kept) error {
	found, err := a.plane.observe(ctx, a.Options)
	if err != nil {
		return fmt.Errorf("read the dataplane: %w", err)
	}
	// Pods are asked for the order of their interfaces, and do well without.
	asking, cancel := context.WithTimeout(ctx, adoptLimit)
	defer cancel()
	adopted := a.attacher.Adopt(asking, found, kept.attachments)
	a.reveal(adopted)
	return a.attacher.Restore(append(kept.attachments, adopted...))
}

// agent is the parts that run.
type agent struct {
	Options
	node       plan.Node
	inventory  *inventory.Inventory
	source     podSource
	cluster    *cluster // nil where there is none
	reconciler *reconcile.Reconciler
	attacher   *attach.Attacher
	plane      *plane
	memifs     *deviceplugin.Plugin // nil where none are offered
	// allocations are what containers were given; nil where none are offered.
	allocations *allocation.Store
	reporter    *report.Reporter // nil where there is nobody to tell
	published   *published       // nil where there is no etcd
	services    *serving         // nil where no services are resolved
	readiness   *readiness
}

// compose connects the parts. Nothing runs yet.
func compose(o Options, kept kept, plane *plane, cluster *cluster, ranges []netip.Prefix) (*agent, error) {
	node, addresses, err := network(o.Config, ranges)
	if err != nil {
		return nil, err
	}
	if err := compareNetworks(o.Log, node); err != nil {
		return nil, err
	}
	mainType, err := o.Config.Eth0Type()
	if err != nil {
		return nil, err
	}
	a := &agent{
		Options: o, node: node, inventory: inventory.New(), plane: plane, readiness: newReadiness(),
		cluster: cluster, source: sourceOf(o, cluster),
	}
	a.reporter = newReporter(o, cluster, a.inventory)
	a.services = newServing(a)
	a.reconciler = reconcile.New(a.services.watched(plane.driver), reconcile.Options{
		Log:            o.Log,
		RepairInterval: o.Config.RepairInterval.Duration,
		Gone:           a.gone,
	})
	a.published = a.newPublished()
	memifs, err := a.newMemifs(kept)
	if err != nil {
		return nil, err
	}
	a.attacher = attach.New(attach.Config{
		Memif:      memifs,
		Log:        o.Log,
		Node:       node,
		MainType:   mainType,
		MTU:        o.Config.Network.MTU,
		TapQueues:  o.Config.Network.TapQueues,
		Inventory:  a.inventory,
		Pods:       a.source,
		Journal:    kept.journal,
		Addresses:  addresses,
		Reconciler: a.reconciler,
		AwayLimit:  o.Config.AwayLimit.Duration,
		Publisher:  a.publisher(),
		Warner:     a.warner(),
		NoServices: a.services == nil,
	})
	return a, nil
}

// run starts everything. Requests are accepted from the first moment and
// answered once the node is as it should be.
func (a *agent) run(ctx context.Context) error {
	// Closed when no more requests are taken.
	serving, end := context.WithCancel(ctx)
	defer end()
	requests, questions, err := listen(ctx, a.Options, a.tellOf(newGate(a.Options, a.attacher, a.readiness, serving.Done())))
	if err != nil {
		return err
	}
	// What requests stand on goes on until the last of them is answered.
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, base := errgroup.WithContext(base)
	group.Go(func() error { return a.reconciler.Run(base) })
	group.Go(func() error { return a.source.Run(base, a.inventory) })
	group.Go(func() error { return inspect.NewServer(a, a.Log).Serve(base, questions) })
	if a.cluster != nil && !numbered(a.Config) {
		group.Go(func() error { return a.followNode(base) })
	}
	if a.reporter != nil {
		group.Go(func() error { return a.reporter.Run(base) })
	}
	if a.published != nil {
		group.Go(func() error { return a.published.run(base) })
	}
	if a.services != nil {
		group.Go(func() error { return a.services.run(base) })
	} else {
		group.Go(func() error { return a.removeServices(base) })
		if a.cluster != nil {
			group.Go(func() error { return a.withdrawRedirects(base, a.source, a.cluster.source) })
		}
	}
	if a.memifs != nil {
		// At once: kubelet fails pods that it starts before it knows their devices.
		group.Go(func() error { return a.memifs.Run(base) })
	}
	group.Go(func() error {
		defer stop()
		defer context.AfterFunc(base, end)() // a part that failed ends the others
		answering, both := errgroup.WithContext(serving)
		defer context.AfterFunc(both, end)()
		answering.Go(func() error { return requests.Run(both) })
		answering.Go(func() error { return a.serve(both) })
		return answering.Wait()
	})
	return group.Wait()
}

// serve has requests answered, after those that were left while no agent ran.
func (a *agent) serve(ctx context.Context) error {
	if !a.waitUntilReady(ctx) {
		return nil
	}
	graves, err := newTombstones(a.Config.TombstoneDir(), a.attacher, a.Log)
	if err != nil {
		return err
	}
	defer graves.close()
	graves.takeAll(ctx)
	if err := a.attacher.Sweep(ctx); err != nil {
		return err
	}
	a.readiness.set()
	a.Log.InfoContext(ctx, "ready", slog.String("node", a.Config.NodeName))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		debug.FreeOSMemory() // the first look at everything leaves more garbage than result
		return nil
	})
	group.Go(func() error { return graves.run(ctx) })
	group.Go(func() error { return a.sweepLoop(ctx) })
	group.Go(func() error {
		a.attacher.KeepTelling(ctx, a.Config.RepairInterval.Duration)
		return nil
	})
	group.Go(func() error { return a.heartbeat(ctx) })
	if a.reporter != nil {
		group.Go(func() error { return a.goRounds(ctx) })
	}
	return group.Wait()
}

// kept is what an earlier agent left.
type kept struct {
	journal     *journal.Journal
	attachments []model.Attachment
}

func openJournal(o Options) (kept, error) {
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return kept{}, fmt.Errorf("boot id: %w", err)
	}
	j, attachments, err := journal.Open(o.Config.JournalFile(), journal.Options{
		Node: o.Config.NodeName, BootID: strings.TrimSpace(string(boot)), Log: o.Log,
	})
	if err != nil {
		return kept{}, err
	}
	return kept{journal: j, attachments: attachments}, nil
}
