// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ligato

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Items are what the pod's agent is told, per interface in the order in which it
// is needed: the interface, its gateways' MAC, routes, and its address for those
// who refer to it. No key occurs twice. An error names the label or interface that
// cannot be said.
func Items(p Pod, form Form) ([]Item, error) {
	if err := podif.ValidateLabel(p.Label); err != nil {
		return nil, fmt.Errorf("microservice label: %w", err)
	}
	form, err := ParseForm(string(form))
	if err != nil {
		return nil, err
	}
	w := writer{prefix: Prefix(p.Label) + "config/", form: form, routed: map[string]bool{}, keys: map[string]bool{}}
	for _, i := range p.Interfaces {
		if err := w.add(i); err != nil {
			return nil, fmt.Errorf("interface %q of microservice %s: %w", i.Name, p.Label, err)
		}
	}
	return w.items, nil
}

// writer collects the items of a pod.
type writer struct {
	prefix string
	form   Form
	items  []Item
	// keys are those of items.
	keys map[string]bool
	// routed are the networks that the pod's kernel has routes to.
	routed map[string]bool
}

func (w *writer) add(i Interface) error {
	if err := check(i); err != nil {
		return err
	}
	var err error
	if i.Type == podif.Memif {
		err = w.memif(i)
	} else {
		err = w.linux(i)
	}
	if err != nil || len(i.Addresses) == 0 {
		return err
	}
	return w.allocation(i)
}

func check(i Interface) error {
	if err := checkElement("the name", i.Name); err != nil {
		return err
	}
	if err := checkElement("network", i.Network); err != nil {
		return err
	}
	switch i.Type {
	case podif.Tap, podif.Veth:
	case podif.Memif:
		if i.MemifSocket == "" {
			return errors.New("its memif has no socket")
		}
	default:
		return fmt.Errorf("%s is no type of an interface", i.Type)
	}
	if len(nextHops(i)) > 0 && i.GatewayMAC.IsZero() {
		return errors.New("the MAC of its gateway is not known")
	}
	return nil
}

// memif writes what an agent tells the VPP of the pod. The main table of that VPP
// is the interface's, so there is a route to its network through each.
func (w *writer) memif(i Interface) error {
	err := w.put("vpp/v2/interfaces/"+i.Name, vppInterface{
		Name: i.Name, Type: "MEMIF", Enabled: true, IPAddresses: texts(i.Addresses),
		Memif: &memifLink{ID: i.MemifID, SocketFilename: i.MemifSocket, Secret: i.Secret.Reveal()},
	})
	if err != nil {
		return err
	}
	for _, hop := range nextHops(i) {
		err := w.put("vpp/v2/arp/"+i.Name+"/"+hop.gateway.String(), vppARP{
			Interface: i.Name, IPAddress: hop.gateway.String(), PhysAddress: i.GatewayMAC.String(), Static: true,
		})
		if err != nil {
			return err
		}
		for _, subnet := range hop.subnets {
			if err := w.vppRoute(i.Name, subnet, hop.gateway); err != nil {
				return err
			}
		}
	}
	return nil
}

// vppRoute writes a route under each of its keys. Release 2.1.1 has no room in
// its key for the interface: of several in one network the first has the route.
func (w *writer) vppRoute(name string, subnet netip.Prefix, gateway netip.Addr) error {
	target := "vrf/0/dst/" + subnet.String() + "/gw/" + gateway.String()
	value := vppRoute{DstNetwork: subnet.String(), NextHopAddr: gateway.String(), OutgoingInterface: name}
	if w.form != FormV2 {
		if err := w.put("vpp/v2/route/if/"+name+"/"+target, value); err != nil {
			return err
		}
	}
	if key := "vpp/v2/route/" + target; w.form != FormV3 && !w.keys[w.prefix+key] {
		return w.put(key, value)
	}
	return nil
}

// linux writes what an agent tells the kernel of the pod. The default network is
// reached through eth0, and any other through the first interface in it: the
// kernel takes no second route of link scope to a gateway.
func (w *writer) linux(i Interface) error {
	err := w.put("linux/interfaces/v2/interface/"+i.Name, linuxInterface{
		Name: i.Name, Type: "EXISTING", Enabled: true, IPAddresses: texts(i.Addresses), HostIfName: i.Name,
	})
	if err != nil || i.Network == model.DefaultNetwork || w.routed[i.Network] {
		return err
	}
	for _, hop := range nextHops(i) {
		w.routed[i.Network] = true
		err := w.put("linux/l3/v2/arp/"+i.Name+"/"+hop.gateway.String(), linuxARP{
			Interface: i.Name, IPAddress: hop.gateway.String(), HwAddress: i.GatewayMAC.String(),
		})
		if err != nil {
			return err
		}
		routes := []linuxRoute{{OutgoingInterface: i.Name, Scope: "LINK", DstNetwork: single(hop.gateway).String()}}
		for _, subnet := range hop.subnets {
			routes = append(routes, linuxRoute{
				OutgoingInterface: i.Name, Scope: "GLOBAL", DstNetwork: subnet.String(), GwAddr: hop.gateway.String(),
			})
		}
		for _, r := range routes {
			if err := w.put("linux/l3/v2/route/"+r.DstNetwork+"/"+i.Name, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// allocation writes which address the interface has, for what else the agent is
// told to refer to. The key has room for one, the first.
func (w *writer) allocation(i Interface) error {
	network := "contiv-" + i.Network
	value := ipAllocation{NetworkName: network, InterfaceName: i.Name, Address: i.Addresses[0].String()}
	if hops := nextHops(i); len(hops) > 0 && hops[0].gateway.Is4() == i.Addresses[0].Addr().Is4() {
		value.Gw = single(hops[0].gateway).String()
	}
	return w.put("netalloc/v1/ip/network/"+network+"/interface/"+i.Name, value)
}

// put adds an item. A key that is there already is one of two interfaces with the
// same name.
func (w *writer) put(key string, value any) error {
	key = w.prefix + key
	if w.keys[key] {
		return fmt.Errorf("key %s is another interface's too; give every interface a name of its own", key)
	}
	data, err := encode(value)
	if err != nil {
		return fmt.Errorf("value of %s: %w", key, err)
	}
	w.keys[key] = true
	w.items = append(w.items, Item{Key: key, Value: data})
	return nil
}

// nextHop is a gateway, and what is behind it.
type nextHop struct {
	gateway netip.Addr
	subnets []netip.Prefix
}

// nextHops are the gateways of the families that the interface has an address of,
// in the order of its addresses.
func nextHops(i Interface) []nextHop {
	var hops []nextHop
	for _, address := range i.Addresses {
		at := slices.IndexFunc(i.Gateways, func(g netip.Addr) bool { return g.Is4() == address.Addr().Is4() })
		if at < 0 {
			continue
		}
		hop := nextHop{gateway: i.Gateways[at]}
		if slices.ContainsFunc(hops, func(h nextHop) bool { return h.gateway == hop.gateway }) {
			continue
		}
		for _, s := range i.Subnets {
			if s.Addr().Is4() == hop.gateway.Is4() {
				hop.subnets = append(hop.subnets, s.Masked())
			}
		}
		hops = append(hops, hop)
	}
	return hops
}

// single is the range of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func texts(prefixes []netip.Prefix) []string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}
