// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"net"
	"net/netip"
	"slices"

	types040 "github.com/containernetworking/cni/pkg/types/040"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// prevResult decodes the prevResult of the configuration in the newest form;
// nil where there is none.
func (c netConf) prevResult() (*types100.Result, error) {
	if c.PrevResult == nil || string(c.PrevResult) == "null" {
		return nil, nil //nolint:nilnil // no result is not an error
	}
	given, err := create.Create(cniwire.AnswerVersion(c.CNIVersion), c.PrevResult)
	if err != nil {
		return nil, errorf(cniwire.CodeDecode, "network configuration %s: prevResult: %w", c.Name, err)
	}
	holed := false // the library's conversion trips over a null in a list
	switch r := given.(type) {
	case *types040.Result:
		holed = slices.Contains(r.Interfaces, nil) || slices.Contains(r.IPs, nil) || slices.Contains(r.Routes, nil)
	case *types100.Result:
		holed = slices.Contains(r.Interfaces, nil) || slices.Contains(r.IPs, nil) || slices.Contains(r.Routes, nil)
	}
	if holed {
		return nil, errorf(cniwire.CodeDecode, "network configuration %s: prevResult: null in a list", c.Name)
	}
	result, err := types100.GetResult(given)
	if err != nil {
		return nil, errorf(cniwire.CodeDecode, "network configuration %s: prevResult: %w", c.Name, err)
	}
	return result, nil
}

// prevForAdd is the prevResult of an ADD, which polynic passes on: other
// plugins may come before it, but none may have taken its interface.
func (c netConf) prevForAdd(r attach.Request) (*types100.Result, error) {
	prev, err := c.prevResult()
	if err != nil || prev == nil {
		return nil, err
	}
	for _, iface := range prev.Interfaces {
		if iface.Name == r.ID.IfName && iface.Sandbox != "" {
			return nil, errorf(cniwire.CodeInvalidConfig, "network configuration %s: a plugin before polynic-cni has made %s already; list polynic-cni first", c.Name, r.ID.IfName)
		}
	}
	return prev, nil
}

// prevForCheck is the prevResult of a CHECK in the pod path's form.
func (c netConf) prevForCheck(r attach.Request) (attach.Result, error) {
	checked := attach.Result{NetnsPath: r.NetnsPath}
	prev, err := c.prevResult()
	if err != nil {
		return checked, err
	}
	if prev == nil {
		return checked, errorf(cniwire.CodeInvalidConfig, "network configuration %s: CHECK without prevResult", c.Name)
	}
	main := -1
	for i, iface := range prev.Interfaces {
		if iface.Sandbox != r.NetnsPath {
			continue
		}
		if iface.Name == r.ID.IfName {
			main = len(checked.Interfaces)
		}
		checked.Interfaces = append(checked.Interfaces, checkedInterface(prev, i))
	}
	if main < 0 {
		return checked, errorf(cniwire.CodeInvalidConfig, "network configuration %s: prevResult has no interface %s in %s", c.Name, r.ID.IfName, r.NetnsPath)
	}
	for _, route := range prev.Routes {
		via, _ := netip.AddrFromSlice(route.GW) // none is the zero value
		checked.Interfaces[main].Routes = append(checked.Interfaces[main].Routes, attach.ResultRoute{Dst: prefix(route.Dst), Via: via.Unmap()})
	}
	return checked, nil
}

func checkedInterface(prev *types100.Result, index int) attach.ResultInterface {
	iface := prev.Interfaces[index]
	checked := attach.ResultInterface{Name: iface.Name, MTU: iface.Mtu, SocketPath: iface.SocketPath}
	var mac model.MAC
	if err := mac.UnmarshalText([]byte(iface.Mac)); err == nil { // else another plugin's, and not Ethernet
		checked.MAC = mac
	}
	for _, ip := range prev.IPs {
		if ip.Interface == nil || *ip.Interface != index {
			continue
		}
		checked.Addresses = append(checked.Addresses, prefix(ip.Address))
		if gateway, ok := netip.AddrFromSlice(ip.Gateway); ok {
			checked.Gateways = append(checked.Gateways, gateway.Unmap())
		}
	}
	return checked
}

func prefix(n net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), ones)
}
