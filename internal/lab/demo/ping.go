// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/node"
)

// maxPings is how many run at a time.
const maxPings = 16

// end is one end of pings.
type end struct {
	name string
	// addresses are one of each family.
	addresses []netip.Addr
	// from is where pings to the others start; nil where none do.
	from *container.Place
	// isPod: its pings leave by its own address.
	isPod bool
}

// pingAll pings from every interface of every pod, and from the node, to every
// other, the node and the outside, in both families, and shows who answered.
func (d Demo) pingAll(ctx context.Context, stateDir string, interfaces []inspect.Interface) error {
	ends, err := findEnds(stateDir, interfaces)
	if err != nil {
		return err
	}
	lost := 0
	for _, f := range []family{{"IPv4", netip.Addr.Is4}, {"IPv6", netip.Addr.Is6}} {
		pings, err := f.pings(ctx, ends)
		if err != nil {
			return err
		}
		n, err := f.write(d.Out, ends, pings)
		if err != nil {
			return err
		}
		lost += n
	}
	if lost > 0 {
		return fmt.Errorf("%d pings were not answered", lost)
	}
	return nil
}

// findEnds lists the pods' interfaces that have addresses, the node, and the
// outside, which knows no way to the pods.
func findEnds(stateDir string, interfaces []inspect.Interface) ([]end, error) {
	var ends []end
	for _, i := range interfaces {
		if len(i.IPs) == 0 {
			continue
		}
		place, err := lab.InPod(stateDir, lab.Name{Namespace: i.Namespace, Name: i.Pod}, "")
		if err != nil {
			return nil, err
		}
		ends = append(ends, end{name: i.Pod + "/" + i.Name, addresses: plain(i.IPs), from: &place, isPod: true})
	}
	host, err := lab.InNetns(stateDir, lab.NodeName)
	if err != nil {
		return nil, err
	}
	return append(ends,
		end{name: "host", addresses: plain(node.Uplink()), from: &host},
		end{name: "outside", addresses: plain(node.Outside())}), nil
}

func plain(prefixes []netip.Prefix) []netip.Addr {
	var addresses []netip.Addr
	for _, p := range prefixes {
		addresses = append(addresses, p.Addr())
	}
	return addresses
}
