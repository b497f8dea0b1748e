// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

const (
	// linkGroup is the group of the links that come and go: deleted as one, they
	// cost the kernel one grace period.
	linkGroup = 4711
	// linkBatch is how often in a second they do.
	linkBatches = 10
)

// churnLinks makes and deletes pairs of links in the node's namespace until ctx
// ends, so many links a second at most, and counts them.
func churnLinks(ctx context.Context, perSecond int, links *atomic.Int64) error {
	ns, err := netns.Own()
	if err != nil {
		return err
	}
	defer ns.Close()
	handle, err := nl.Open(ns)
	if err != nil {
		return err
	}
	defer handle.Close()
	tick := time.NewTicker(time.Second / linkBatches)
	defer tick.Stop()
	for ctx.Err() == nil {
		for i := range perSecond / linkBatches / 2 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Group = fmt.Sprintf("other%d", i), linkGroup
			if err := handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("peer%d", i), PeerTxQLen: -1}); err != nil {
				return fmt.Errorf("links of others: %w", err)
			}
			links.Add(2)
		}
		if err := nl.DeleteGroup(ns, linkGroup); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}
