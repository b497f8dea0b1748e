// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"net/netip"
	"slices"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// result is what the attachment looks like to the runtime.
func (a *Attacher) result(att model.Attachment) (Result, error) {
	objects, err := a.config.Node.Attachment(att)
	if err != nil {
		return Result{}, err
	}
	result := Result{NetnsPath: att.Netns.Path}
	for n, port := range ports(objects) {
		i := ResultInterface{
			Name: port.Pod.Name, Type: att.Interfaces[n].Type, Network: port.Network,
			MAC: port.Pod.MAC, MTU: port.MTU, Addresses: port.Pod.Addresses,
		}
		if i.Type == podif.Memif {
			i.SocketPath, i.Memif = memifdir.SocketPath, att.Interfaces[n].Memif
		}
		if n == 0 && att.ID.Main() { // who asked for another interface has a default route
			i.Gateways, i.Routes = mainRoutes(port.Pod.Routes)
		}
		result.Interfaces = append(result.Interfaces, i)
	}
	return result, nil
}

func mainRoutes(routes []desired.PodRoute) (gateways []netip.Addr, list []ResultRoute) {
	for _, r := range routes {
		if r.Via.IsValid() && !slices.Contains(gateways, r.Via) {
			gateways = append(gateways, r.Via)
		}
		list = append(list, ResultRoute{Dst: r.Dst, Via: r.Via})
	}
	return gateways, list
}

// Describe is what an attachment looks like to its user, whether it is made
// already or not.
func (a *Attacher) Describe(att model.Attachment) (Result, error) {
	att.Leaving = false
	return a.result(att)
}

// ports lists the ports among an attachment's objects, in interface order.
func ports(objects []desired.Object) []desired.Port {
	var list []desired.Port
	for _, o := range objects {
		if p, ok := desired.PortOf(o); ok {
			list = append(list, p)
		}
	}
	return list
}
