// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net/netip"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// port finds the switch end of a port, and reports the port with what that end
// shows; nil where there is none.
func (v *view) port(want desired.Port) (desired.Port, *nl.Link) {
	sv := v.in(want.Network)
	if sv == nil {
		return want, nil
	}
	link, ok := sv.links[linkName(want.Owner, want.Pod.Name)]
	if !ok {
		return want, nil
	}
	got := want
	got.SwitchMAC = v.driver.linkMAC(link.MAC)
	got.MTU = link.MTU
	if !link.Up || !link.OwnSources {
		got.SwitchMAC = model.MAC{} // as good as not configured
	}
	if v.driver.alias(want) != link.Alias || link.Group != portGroup {
		got.PodName = ""
	}
	return got, &link
}

func (sv *spaceView) hasRoute(want desired.Route) bool {
	return slices.ContainsFunc(sv.routes, func(r nl.Route) bool {
		return r.Dst == want.Dst && r.Table == desired.MainTable &&
			sv.names[r.Link] == linkName(want.Owner, want.Interface)
	})
}

func (sv *spaceView) neighbor(want desired.Neighbor) (model.MAC, bool) {
	for _, n := range sv.neighs {
		if n.IP == want.IP && sv.names[n.Link] == linkName(want.Owner, want.Interface) {
			return n.MAC, true
		}
	}
	return model.MAC{}, false
}

// readAddresses reads the addresses once.
func (sv *spaceView) readAddresses(s *space) (err error) {
	if sv.addrs == nil {
		sv.addrs, err = s.socket.Addresses()
	}
	return err
}

func (sv *spaceView) hasAddresses(link int, wanted []netip.Prefix) bool {
	return !slices.ContainsFunc(wanted, func(a netip.Prefix) bool {
		return !slices.Contains(sv.addrs, nl.Address{Link: link, Prefix: a})
	})
}
