// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/model"
)

// startLimit is how long a start waits for the API server where an earlier agent
// left what is needed.
const startLimit = 3 * time.Second

// learned is what the cluster said of the node, for a start without an API server.
type learned struct {
	Node   string         `json:"node"`
	Ranges []netip.Prefix `json:"ranges"`
}

// learnRanges finds the ranges of the node's pods. Those of an earlier agent stay
// while sandboxes have addresses of them. Where nobody knows any, it waits, and
// tells those who ask what for.
func learnRanges(ctx context.Context, o Options, c *cluster, attachments []model.Attachment) ([]netip.Prefix, error) {
	if c == nil || numbered(o.Config) {
		return rangesOf(o.Config, model.Node{})
	}
	known, err := readLearned(o.Config)
	if err != nil {
		o.Log.WarnContext(ctx, "what was learned of the node cannot be read, and is asked for again", slog.Any("error", err))
	}
	var now []netip.Prefix
	if known == nil {
		now, err = waitForRanges(ctx, o, c)
	} else {
		now, err = askForRanges(ctx, o, c)
	}
	switch {
	case err != nil && known == nil:
		return nil, err
	case err != nil:
		o.Log.WarnContext(ctx, "the node's pod ranges are those of the last time", slog.Any("ranges", known), slog.Any("error", err))
		return known, nil
	case known != nil && !slices.Equal(known, now) && !allWithin(attachments, now):
		return known, nil // followNode says so
	}
	if err := writeLearned(o.Config, now); err != nil {
		o.Log.WarnContext(ctx, "the next start needs the API server", slog.Any("error", err))
	}
	return now, nil
}

// rangesKnown gives the ranges without asking anybody; nil where none were ever
// known.
func rangesKnown(c config.Config) ([]netip.Prefix, error) {
	if !c.InCluster() || numbered(c) {
		return rangesOf(c, model.Node{})
	}
	return readLearned(c)
}

func askForRanges(ctx context.Context, o Options, c *cluster) ([]netip.Prefix, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	node, err := c.source.Node(ctx)
	if err != nil {
		return nil, err
	}
	return rangesOf(o.Config, node)
}

// allWithin reports whether the ranges have all addresses that are in use.
func allWithin(attachments []model.Attachment, ranges []netip.Prefix) bool {
	for _, att := range attachments {
		for _, address := range att.Addresses() {
			if !slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(address) }) {
				return false
			}
		}
	}
	return true
}

// readLearned gives the ranges that an earlier agent learned; nil where there are
// none.
func readLearned(c config.Config) ([]netip.Prefix, error) {
	data, err := os.ReadFile(c.NodeFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l learned
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("%s: %w", c.NodeFile(), err)
	}
	if l.Node != c.NodeName {
		return nil, fmt.Errorf("%s is of node %s", c.NodeFile(), l.Node)
	}
	ranges, err := rangesOf(c, model.Node{PodRanges: l.Ranges})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.NodeFile(), err)
	}
	return ranges, nil
}

func writeLearned(c config.Config, ranges []netip.Prefix) error {
	data, err := json.Marshal(learned{Node: c.NodeName, Ranges: ranges})
	if err != nil {
		return fmt.Errorf("node file: %w", err)
	}
	return writeWhole(c.NodeFile(), append(data, '\n'))
}

// followNode compares the node's ranges with those in use. They change where
// somebody makes the node anew. Pods keep their addresses then, and new ones get
// such as route with them; the new ranges are taken once no pod is left, by the
// agent that is started after this one (errRangesChanged).
func (a *agent) followNode(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.cluster.source.RunNode(ctx, func(node model.Node, err error) {
		var ranges []netip.Prefix
		if err == nil {
			ranges, err = rangesOf(a.Config, node)
		}
		if err == nil && !slices.Equal(ranges, a.node.Default.Pods) {
			err = fmt.Errorf("%w: they were %s, and the cluster says %s", errRangesChanged, a.node.Default.Pods, ranges)
			if len(a.inventory.Attachments()) == 0 {
				cancel(err)
			}
		}
		a.cluster.setNode(err)
	})
	if err := context.Cause(ctx); errors.Is(err, errRangesChanged) {
		return err
	}
	return nil
}
