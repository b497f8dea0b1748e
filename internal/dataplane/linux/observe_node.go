// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// port finds the switch end of a port, and reports the port with what that end
// shows; nil where there is none.
func (v *view) port(want desired.Port) (desired.Port, *netlink.LinkAttrs) {
	sv := v.spaces[want.Network]
	if sv == nil {
		return want, nil
	}
	link := sv.links[linkName(want.Owner, want.Pod.Name)]
	if link == nil {
		return want, nil
	}
	attrs := link.Attrs()
	got := want
	got.SwitchMAC = macOf(attrs.HardwareAddr)
	got.MTU = attrs.MTU
	if attrs.Flags&net.FlagUp == 0 {
		got.SwitchMAC = model.MAC{} // down is as good as not configured
	}
	if alias(want) != attrs.Alias || attrs.Group != portGroup {
		got.PodName = ""
	}
	return got, attrs
}

// queues is the number of queue pairs that the relay holds of a tap; 0 where
// it holds none.
func (v *view) queues(p desired.Port) int {
	state, ok := v.taps[portID(p.Owner, p.Pod.Name)]
	if !ok || !state.Attached || state.Pod.Inode != p.Pod.Netns.Inode {
		return 0
	}
	return state.Queues
}

func (sv *spaceView) hasRoute(want desired.Route) bool {
	return slices.ContainsFunc(sv.routes, func(r netlink.Route) bool {
		return destination(r) == want.Dst && r.Table == desired.MainTable &&
			sv.names[r.LinkIndex] == linkName(want.Owner, want.Interface)
	})
}

func (sv *spaceView) neighbor(want desired.Neighbor) (model.MAC, bool) {
	for _, n := range sv.neighs {
		if addrOf(n.IP) == want.IP && sv.names[n.LinkIndex] == linkName(want.Owner, want.Interface) {
			return macOf(n.HardwareAddr), true
		}
	}
	return model.MAC{}, false
}
