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

// Observe implements dataplane.Driver.
func (d *Driver) Observe(ctx context.Context, scope dataplane.Scope) (desired.Set, error) {
	found := desired.Set{}
	byPod := map[model.Netns][]desired.Object{}
	var reach []desired.Object
	for _, o := range scope.Want {
		switch o := o.(type) {
		case desired.Network:
			got, exists, err := d.observeNetwork(ctx, o)
			if err != nil {
				return nil, fmt.Errorf("network %s: %w", o.Name, err)
			}
			if exists {
				found.Add(got)
			}
		case desired.Veth, desired.Tap:
			p, _ := desired.PortOf(o)
			byPod[p.Pod.Netns] = append(byPod[p.Pod.Netns], o)
		case desired.Route, desired.Neighbor:
			reach = append(reach, o)
		}
	}
	if len(byPod) == 0 && len(reach) == 0 && !scope.Everything {
		return found, nil
	}
	v, err := d.view()
	if err != nil {
		return nil, err
	}
	if len(byPod) > 0 || scope.Everything {
		if v.taps, err = d.taps(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.observePods(v, byPod, scope, found); err != nil {
		return nil, err
	}
	v.observeReach(reach, found)
	if scope.Everything {
		d.strays(v, found)
	}
	return found, nil
}

// view is what the networks' namespaces and the relay hold, read once.
type view struct {
	spaces map[string]*spaceView
	taps   map[string]relayapi.PortState // by port id
}

// spaceView is one network's namespace.
type spaceView struct {
	nsid   int
	socket *nl.Socket
	links  map[string]nl.Link // by name, ports of ours only
	names  map[int]string     // of those, by index
	routes []nl.Route
	neighs []nl.Neighbor
}

func (d *Driver) view() (*view, error) {
	v := &view{spaces: map[string]*spaceView{}}
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
// order, so none is listed.
func (d *Driver) taps(ctx context.Context) (map[string]relayapi.PortState, error) {
	list, err := d.config.Relay.List(ctx)
	if err != nil && !errors.Is(err, relayapi.ErrAway) {
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
			if sv := v.spaces[o.Network]; sv != nil && sv.hasRoute(o) {
				found.Add(o)
			}
		case desired.Neighbor:
			if sv := v.spaces[o.Network]; sv != nil {
				if mac, ok := sv.neighbor(o); ok {
					o.MAC = mac
					found.Add(o)
				}
			}
		case desired.Network, desired.Veth, desired.Tap:
		}
	}
}
