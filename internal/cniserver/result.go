// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/internal/attach"
)

// composeResult writes what ADD answers, in the CNI version asked for. What an
// earlier plugin of the chain made comes first and is passed on as it is.
// A default route is the main interface's alone, as gateways are: runtimes take
// the first that they see for the pod's.
func composeResult(made attach.Result, prev *types100.Result, version string) ([]byte, error) {
	result := &types100.Result{CNIVersion: types100.ImplementedSpecVersion}
	if prev != nil {
		result.Interfaces, result.IPs, result.Routes, result.DNS = prev.Interfaces, prev.IPs, prev.Routes, prev.DNS
	}
	for i, iface := range made.Interfaces {
		index := len(result.Interfaces)
		result.Interfaces = append(result.Interfaces, composeInterface(iface, made.NetnsPath))
		for _, address := range iface.Addresses {
			result.IPs = append(result.IPs, &types100.IPConfig{
				Interface: &index,
				Address:   ipNet(address),
				Gateway:   gatewayFor(address, iface.Gateways),
			})
		}
		for _, route := range iface.Routes {
			if i == 0 || route.Dst.Bits() > 0 {
				result.Routes = append(result.Routes, &types.Route{Dst: ipNet(route.Dst), GW: route.Via.AsSlice()})
			}
		}
	}
	asked, err := result.GetAsVersion(version)
	if err != nil {
		return nil, fmt.Errorf("result of ADD in CNI version %s: %w", version, err)
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("result of ADD: %w", err)
	}
	return append(text, '\n'), nil
}

func composeInterface(iface attach.ResultInterface, netns string) *types100.Interface {
	composed := &types100.Interface{
		Name:       iface.Name,
		Mtu:        iface.MTU,
		Sandbox:    netns,
		SocketPath: iface.SocketPath,
	}
	if !iface.MAC.IsZero() {
		composed.Mac = iface.MAC.String()
	}
	return composed
}

// gatewayFor is the gateway of the address's family, or nil.
func gatewayFor(address netip.Prefix, gateways []netip.Addr) net.IP {
	for _, gateway := range gateways {
		if gateway.Is4() == address.Addr().Is4() {
			return gateway.AsSlice()
		}
	}
	return nil
}

func ipNet(prefix netip.Prefix) net.IPNet {
	return net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}
