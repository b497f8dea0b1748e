// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"slices"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// model is one of ligato's agent.
type model struct {
	module, kind, version string
	// name is what an item's key ends with; nil where there is one item at most.
	name func(d *data) string
	// older is the name in agents of release 2.1.1, where it is another; nil else.
	older func(d *data) string
}

// keys are the names of an item in the form asked for; an empty one is that of a
// model without names.
func (m model) keys(d *data, form ligato.Form) []string {
	switch {
	case m.name == nil:
		return []string{""}
	case m.older == nil, form == ligato.FormV3:
		return []string{m.name(d)}
	case form == ligato.FormV2:
		return []string{m.older(d)}
	}
	newer, older := m.name(d), m.older(d)
	if newer == older {
		return []string{newer}
	}
	return []string{newer, older}
}

// models are those of ligato's agent, of release 2.1.1 to 3.5, with the names
// that it gives its items.
func models() []model { return slices.Concat(interfaceModels(), featureModels(), linuxModels()) }

// interfaceModels are of interfaces, and of what goes from one to another.
func interfaceModels() []model {
	return []model{
		{"vpp", "interfaces", "v2", byField("name"), nil},
		{"vpp", "span", "v2", func(d *data) string { return d.text("interface_from") + "/to/" + d.text("interface_to") }, nil},
		{"vpp", "arp", "v2", func(d *data) string { return d.text("interface") + "/" + d.text("ip_address") }, nil},
		{"vpp", "route", "v2", newerRoute, olderRoute},
		{"vpp", "vrf-table", "v2", func(d *data) string { return "id/" + d.number("id") + "/protocol/" + d.word("protocol", "IPV4") }, nil},
		{"vpp", "l3xconnect", "v2", func(d *data) string { return d.text("interface") + "/protocol/" + d.word("protocol", "IPV4") }, nil},
		{"vpp", "dhcp-proxy", "v2", func(d *data) string { return d.family("source_ip_address") + "/rx-vrf/" + d.number("rx_vrf_id") }, nil},
		{"vpp", "teib", "v2", func(d *data) string { return d.text("interface") + "/peer/" + d.text("peer_addr") }, nil},
		{"vpp", "vrrp", "v2", func(d *data) string { return d.text("interface") + "/vrid/" + d.number("vr_id") }, nil},
		{"vpp", "proxyarp-global", "v2", nil, nil},
		{"vpp", "ipscanneigh-global", "v2", nil, nil},
		{"vpp", "ipredirect", "v2", func(d *data) string {
			return "l3/" + d.word("l3_protocol", "UNDEFINED_L3") + "/tx/" + d.text("tx_interface")
		}, nil},
		{"vpp", "tohost", "v2", func(d *data) string {
			return "l3/" + d.word("l3_protocol", "UNDEFINED_L3") + "/l4/" + d.word("l4_protocol", "UNDEFINED_L4") + "/port/" + d.number("port")
		}, nil},
		{"vpp", "exception", "v2", func(d *data) string { return "reason/" + d.text("reason") }, nil},

		{"vpp.l2", "bridge-domain", "v2", byField("name"), nil},
		{"vpp.l2", "fib", "v2", func(d *data) string { return d.text("bridge_domain") + "/mac/" + d.text("phys_address") }, nil},
		{"vpp.l2", "xconnect", "v2", byField("receive_interface"), nil},
	}
}

func featureModels() []model {
	return []model{
		{"vpp.acls", "acl", "v2", byField("name"), nil},
		{"vpp.abfs", "abf", "v2", func(d *data) string { return d.number("index") }, nil},

		{"vpp.nat", "nat44-global", "v2", nil, nil},
		{"vpp.nat", "dnat44", "v2", byField("label"), nil},
		{"vpp.nat", "nat44-interface", "v2", byField("name"), nil},
		{"vpp.nat", "nat44-pool", "v2", natPool, nil},
		{"vpp.nat", "nat44-vrf", "v2", func(d *data) string { return "vrfid/" + d.number("src_vrf_id") }, nil},
		{"vpp.nat", "nat44-vrf-route", "v2", func(d *data) string {
			return "vrfid/" + d.number("src_vrf_id") + "/destvrfid/" + d.number("dest_vrf_id")
		}, nil},

		{"vpp.ipsec", "spd", "v2", func(d *data) string { return d.id("index") }, nil},
		{"vpp.ipsec", "sa", "v2", func(d *data) string { return d.id("index") }, nil},
		{"vpp.ipsec", "sp", "v2", securityPolicy, nil},
		{"vpp.ipsec", "tun-protect", "v2", func(d *data) string {
			return d.text("interface") + behind("/nh/", d.words("next_hop_addr"))
		}, nil},

		{"vpp.srv6", "srv6-global", "v2", nil, nil},
		{"vpp.srv6", "localsid", "v2", byField("sid"), nil},
		{"vpp.srv6", "policy", "v2", byField("bsid"), nil},
		{"vpp.srv6", "steering", "v2", byField("name"), nil},

		{"vpp.stn", "rule", "v2", func(d *data) string { return d.text("interface") + "/ip/" + d.text("ip_address") }, nil},
		{"vpp.ipfix", "ipfix", "v2", nil, nil},
		{"vpp.ipfix", "flowprobe-params", "v2", nil, nil},
		{"vpp.ipfix", "flowprobe-feature", "v2", byField("interface"), nil},
		{"vpp.dns", "dnscache", "v1", nil, nil},
		{"vpp.wg", "peer", "v1", func(d *data) string {
			return d.text("wg_if_name") + "/endpoint/" + d.text("endpoint") + "/" + d.number("port")
		}, nil},
	}
}

func linuxModels() []model {
	return []model{
		{"linux.interfaces", "interface", "v2", byField("name"), nil},
		{"linux.l3", "arp", "v2", func(d *data) string { return d.text("interface") + "/" + d.text("ip_address") }, nil},
		{"linux.l3", "route", "v2", func(d *data) string { return d.network("dst_network") + "/" + d.text("outgoing_interface") }, nil},
		{"linux.iptables", "rulechain", "v2", byField("name"), nil},

		{"netalloc", "ip", "v1", func(d *data) string {
			return "network/" + d.text("network_name") + "/interface/" + d.text("interface_name")
		}, nil},
	}
}

// byField names an item by one of its fields.
func byField(name string) func(*data) string { return func(d *data) string { return d.text(name) } }

func newerRoute(d *data) string {
	name := "vrf/" + d.number("vrf_id") + "/dst/" + d.network("dst_network") + "/" + behind("gw/", d.words("next_hop_addr"))
	if out := d.words("outgoing_interface"); out != "" {
		return "if/" + out + "/" + name
	}
	return name
}

func olderRoute(d *data) string {
	return "vrf/" + d.number("vrf_id") + "/dst/" + d.network("dst_network") + "/gw/" + d.words("next_hop_addr")
}

func natPool(d *data) string {
	if name := d.words("name"); name != "" {
		return name
	}
	first, last := d.text("first_ip"), d.words("last_ip")
	if last == first {
		last = ""
	}
	return "vrf/" + d.number("vrf_id") + "/address/" + first + behind("-", last)
}

func securityPolicy(d *data) string {
	direction := "inbound"
	if d.flag("is_outbound") {
		direction = "outbound"
	}
	return "spd/" + d.number("spd_index") + "/sa/" + d.number("sa_index") + "/" + direction +
		"/local-addresses/" + d.words("local_addr_start") + "-" + d.words("local_addr_stop") +
		"/remote-addresses/" + d.words("remote_addr_start") + "-" + d.words("remote_addr_stop")
}

// behind puts a text behind another, where there is one.
func behind(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// find gives the model of an item; of a version that ligato's agent does not have
// it is not one of its models.
func find(item *v1.ConfigurationItem) (model, bool) {
	for _, m := range models() {
		if m.version != item.Version && item.Version != "" {
			continue
		}
		if m.module == item.Module && m.kind == item.Type {
			return m, true
		}
		// The definitions of the models are in packages that are not all called as the
		// modules are.
		if pkg, kind := definition(m); pkg == item.Module && kind == item.Type {
			return m, true
		}
	}
	return model{}, false
}

// definition is how the package of a model's definition, and the model in it, are
// called.
func definition(m model) (pkg, kind string) {
	pkg, kind = m.module, m.kind
	switch {
	case m.module == "vpp" && (m.kind == "interfaces" || m.kind == "span"):
		pkg = "vpp.interfaces"
		if m.kind == "interfaces" {
			kind = "interface"
		}
	case m.module == "vpp" && (m.kind == "ipredirect" || m.kind == "tohost" || m.kind == "exception"):
		pkg = "vpp.punt"
	case m.module == "vpp":
		pkg = "vpp.l3"
	case m.module == "vpp.acls":
		pkg = "vpp.acl"
	case m.module == "vpp.abfs":
		pkg = "vpp.abf"
	case m.module == "vpp.wg":
		pkg = "vpp.wireguard"
	}
	return pkg, kind
}
