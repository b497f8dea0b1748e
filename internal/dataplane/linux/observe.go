// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// wanted is what to look for, by how it is looked for.
type wanted struct {
	networks []desired.Network
	byPod    map[model.Netns][]desired.Object // veths and taps
	memifs   []desired.Memif
	reach    []desired.Object
}

func sortWanted(set desired.Set) wanted {
	w := wanted{byPod: map[model.Netns][]desired.Object{}}
	for _, o := range set {
		switch o := o.(type) {
		case desired.Network:
			w.networks = append(w.networks, o)
		case desired.HostLink: // the kernel needs none
		case desired.Veth, desired.Tap:
			p, _ := desired.PortOf(o)
			w.byPod[p.Pod.Netns] = append(w.byPod[p.Pod.Netns], o)
		case desired.Memif:
			w.memifs = append(w.memifs, o)
		case desired.Route, desired.Neighbor:
			w.reach = append(w.reach, o)
		}
	}
	return w
}

// Observe implements dataplane.Driver.
func (d *Driver) Observe(ctx context.Context, scope dataplane.Scope) (desired.Set, error) {
	if d.portsOnly {
		scope.Want = portsAmong(scope.Want)
	}
	found, w := desired.Set{}, sortWanted(scope.Want)
	for _, n := range w.networks {
		got, exists, err := d.observeNetwork(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		if exists {
			found.Add(got)
		}
	}
	if len(w.byPod) == 0 && len(w.memifs) == 0 && len(w.reach) == 0 && !scope.Everything {
		return found, nil
	}
	v, err := d.view()
	if err != nil {
		return nil, err
	}
	if len(w.byPod) > 0 || scope.Everything {
		v.taps, err = d.taps(ctx)
	}
	if err == nil && (len(w.memifs) > 0 || scope.Everything) {
		v.memifs, err = d.memifs(ctx)
	}
	if err == nil {
		err = d.observePods(v, w.byPod, scope, found)
	}
	if err == nil {
		err = d.observeMemifs(v, w.memifs, found)
	}
	if err != nil {
		return nil, err
	}
	v.observeReach(w.reach, found)
	if scope.Everything {
		d.strays(v, found)
	}
	return found, nil
}

// view is what the networks' namespaces and the relay hold, read once.
type view struct {
	driver *Driver
	spaces map[string]*spaceView          // by network
	taps   map[string]relayapi.PortState  // by port id
	memifs map[string]relayapi.MemifState // by port id
}

// spaceView is one network's namespace.
type spaceView struct {
	nsid   int
	socket *nl.Socket
	links  map[string]nl.Link // by name, ports of ours only
	names  map[int]string     // of those, by index
	routes []nl.Route
	neighs []nl.Neighbor
	addrs  []nl.Address // read where there are memifs
}

// in is the view of a network's namespace; nil where there is none.
func (v *view) in(network string) *spaceView {
	if sv := v.spaces[anyNetwork]; sv != nil {
		return sv
	}
	return v.spaces[network]
}

func (d *Driver) view() (*view, error) {
	v := &view{driver: d, spaces: map[string]*spaceView{}}
	for _, s := range d.spaces() {
		exists, err := s.exists(d.node)
		if err == nil && exists {
			v.spaces[s.network], err = readSpace(s)
		}
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", s.network, err)
		}
	}
	return v, nil
}

// taps asks the relay what it holds. While it is away no tap is known to be in
// order, so none is listed, and the map is nil.
func (d *Driver) taps(ctx context.Context) (map[string]relayapi.PortState, error) {
	list, err := d.config.Relay.List(ctx)
	if errors.Is(err, relayapi.ErrAway) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the relay's ports: %w", err)
	}
	taps := make(map[string]relayapi.PortState, len(list))
	for _, t := range list {
		taps[t.ID] = t
	}
	return taps, nil
}

func readSpace(s *space) (*spaceView, error) {
	sv := &spaceView{nsid: s.nsid, socket: s.socket, links: map[string]nl.Link{}, names: map[int]string{}}
	links, err := s.socket.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if _, _, marked := parseAlias(l.Alias); l.Group == portGroup || marked && l.Group != leavingGroup {
			sv.links[l.Name] = l
			sv.names[l.Index] = l.Name
		}
	}
	if sv.routes, err = s.socket.Routes(protocol); err != nil {
		return nil, err
	}
	sv.neighs, err = s.socket.Neighbors()
	return sv, err
}

// observePods reads the ends in the pods, several pods at once. One that cannot be
// read, whatever was done to it, keeps nobody from knowing the others: where it
// is not the only one that is asked for, it is taken to have nothing, and what
// it should have is made as far as that goes.
func (d *Driver) observePods(v *view, byPod map[model.Netns][]desired.Object, scope dataplane.Scope, found desired.Set) error {
	results := make(chan desired.Set, len(byPod))
	var group errgroup.Group
	group.SetLimit(parallelOwners)
	alone := len(byPod) == 1 && !scope.Everything
	for id, ports := range byPod {
		group.Go(func() error {
			set, err := d.observePod(v, id, ports)
			results <- set
			if err == nil || alone {
				return err
			}
			d.log.Warn("a pod cannot be read", slog.Any("error", err))
			return nil
		})
	}
	err := group.Wait()
	close(results)
	for set := range results {
		maps.Copy(found, set)
	}
	return err
}

// observeReach finds the routes and neighbours that lead to ports.
func (v *view) observeReach(wanted []desired.Object, found desired.Set) {
	for _, o := range wanted {
		switch o := o.(type) {
		case desired.Route:
			if sv := v.in(o.Network); sv != nil && sv.hasRoute(o) {
				found.Add(o)
			}
		case desired.Neighbor:
			if sv := v.in(o.Network); sv != nil {
				if mac, ok := sv.neighbor(o); ok {
					o.MAC = mac
					found.Add(o)
				}
			}
		case desired.Network, desired.HostLink, desired.Veth, desired.Tap, desired.Memif:
		}
	}
}
