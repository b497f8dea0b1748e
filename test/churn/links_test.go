// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"fmt"
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
// ends, so many links a second at most, and gives their number.
func churnLinks(ctx context.Context, perSecond int) (links int, err error) {
	ns, err := netns.Own()
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	handle, err := nl.Open(ns)
	if err != nil {
		return 0, err
	}
	defer handle.Close()
	tick := time.NewTicker(time.Second / linkBatches)
	defer tick.Stop()
	for ctx.Err() == nil {
		for i := range perSecond / linkBatches / 2 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Group = fmt.Sprintf("other%d", i), linkGroup
			if err := handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("peer%d", i), PeerTxQLen: -1}); err != nil {
				return links, fmt.Errorf("links of others: %w", err)
			}
			links += 2
		}
		if err := nl.DeleteGroup(ns, linkGroup); err != nil {
			return links, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return links, nil
}
