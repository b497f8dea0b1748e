// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ligato_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/test/golden"
)

// podFile is a pod as golden files have it.
type podFile struct {
	Label      string `json:"label"`
	Interfaces []struct {
		Name        string         `json:"name"`
		Type        podif.Type     `json:"type"`
		Network     string         `json:"network"`
		Addresses   []netip.Prefix `json:"addresses"`
		Gateways    []netip.Addr   `json:"gateways"`
		GatewayMAC  model.MAC      `json:"gatewayMAC"`
		Subnets     []netip.Prefix `json:"subnets"`
		MemifID     uint32         `json:"memifID"`
		MemifSocket string         `json:"memifSocket"`
		Secret      string         `json:"secret"`
	} `json:"interfaces"`
}

func readPod(t *testing.T, data []byte) ligato.Pod {
	t.Helper()
	var f podFile
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		t.Fatal(err)
	}
	p := ligato.Pod{Label: f.Label}
	for _, i := range f.Interfaces {
		p.Interfaces = append(p.Interfaces, ligato.Interface{
			Name: i.Name, Type: i.Type, Network: i.Network,
			Addresses: i.Addresses, Gateways: i.Gateways, GatewayMAC: i.GatewayMAC, Subnets: i.Subnets,
			MemifID: i.MemifID, MemifSocket: i.MemifSocket, Secret: model.NewSecret(i.Secret),
		})
	}
	return p
}

// The golden files have, of every pod, the keys of each form with their values;
// forms that give the same share them. Test/ligato reads them with the models of
// the agents.
func TestItems(t *testing.T) {
	golden.Run(t, "testdata/*.txtar", func(t *testing.T, files []txtar.File) string {
		t.Helper()
		var b strings.Builder
		for _, f := range files {
			p := readPod(t, f.Data)
			forms := string(ligato.FormV2)
			last := text(t, p, ligato.FormV2)
			for _, form := range []ligato.Form{ligato.FormV3, ligato.FormBoth} {
				if next := text(t, p, form); next != last {
					fmt.Fprintf(&b, "# %s, form %s\n%s", f.Name, forms, last)
					forms, last = string(form), next
				} else {
					forms += ", " + string(form)
				}
			}
			fmt.Fprintf(&b, "# %s, form %s\n%s", f.Name, forms, last)
		}
		return b.String()
	})
}

// text is a key a line, and its value on the next.
func text(t *testing.T, p ligato.Pod, form ligato.Form) string {
	t.Helper()
	items, err := ligato.Items(p, form)
	if err != nil {
		t.Fatalf("%s: %v", form, err)
	}
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, "%s\n%s\n", i.Key, i.Value)
	}
	return b.String()
}

// What Contiv-VPP wrote for the documents' pod, but that the documents count memifs
// from 0.
func TestDocumentsExample(t *testing.T) {
	want := []string{
		"/vnf-agent/vnf1/config/vpp/v2/interfaces/memif1",
		`{"name":"memif1","type":"MEMIF","enabled":true,"ip_addresses":["10.1.1.5/32"],` +
			`"memif":{"id":1,"socket_filename":"/run/vpp/memif.sock","secret":"fh99pwvrkvd7n2kjvmtv"}}`,
		"/vnf-agent/vnf1/config/vpp/v2/arp/memif1/10.1.1.1",
		`{"interface":"memif1","ip_address":"10.1.1.1","phys_address":"02:fe:5c:56:a8:8f","static":true}`,
		"/vnf-agent/vnf1/config/vpp/v2/route/if/memif1/vrf/0/dst/10.1.0.0/16/gw/10.1.1.1",
		`{"dst_network":"10.1.0.0/16","next_hop_addr":"10.1.1.1","outgoing_interface":"memif1"}`,
		"/vnf-agent/vnf1/config/vpp/v2/route/vrf/0/dst/10.1.0.0/16/gw/10.1.1.1",
		`{"dst_network":"10.1.0.0/16","next_hop_addr":"10.1.1.1","outgoing_interface":"memif1"}`,
		"/vnf-agent/vnf1/config/netalloc/v1/ip/network/contiv-default/interface/memif1",
		`{"network_name":"contiv-default","interface_name":"memif1","address":"10.1.1.5/32","gw":"10.1.1.1/32"}`,
	}
	items, err := ligato.Items(ligato.Pod{Label: "vnf1", Interfaces: []ligato.Interface{memif()}}, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range items {
		got = append(got, i.Key, string(i.Value))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("items:\n%s\nwant:\n%s", g, w)
	}
}

func memif() ligato.Interface {
	return ligato.Interface{
		Name: "memif1", Type: podif.Memif, Network: model.DefaultNetwork,
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.1.1.5/32")},
		Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1")},
		GatewayMAC: model.SwitchMAC(strings.Repeat("0123456789abcdef", 4), "memif1"),
		Subnets:    []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		MemifID:    1, MemifSocket: "/run/vpp/memif.sock", Secret: model.NewSecret("fh99pwvrkvd7n2kjvmtv"),
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*ligato.Pod)
	}{
		{"label of two elements", `"a/b" contains '/'`, func(p *ligato.Pod) { p.Label = "a/b" }},
		{"label that is a folder", `".."`, func(p *ligato.Pod) { p.Label = ".." }},
		{"no label", "the label is empty", func(p *ligato.Pod) { p.Label = "" }},
		{"name of two elements", `"x/y"`, func(p *ligato.Pod) { p.Interfaces[0].Name = "x/y" }},
		{"no network", `network ""`, func(p *ligato.Pod) { p.Interfaces[0].Network = "" }},
		{"no type", "no type", func(p *ligato.Pod) { p.Interfaces[0].Type = 0 }},
		{"no socket", "no socket", func(p *ligato.Pod) { p.Interfaces[0].MemifSocket = "" }},
		{"no MAC", "MAC of its gateway", func(p *ligato.Pod) { p.Interfaces[0].GatewayMAC = model.MAC{} }},
		{"a name twice", "memif1", func(p *ligato.Pod) { p.Interfaces = append(p.Interfaces, p.Interfaces[0]) }},
	} {
		p := ligato.Pod{Label: "vnf1", Interfaces: []ligato.Interface{memif()}}
		c.change(&p)
		items, err := ligato.Items(p, ligato.FormBoth)
		if err == nil || items != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, error %v, want one with %q", c.name, items, err, c.want)
		}
	}
	if _, err := ligato.Items(ligato.Pod{Label: "vnf1"}, "v4"); err == nil || !strings.Contains(err.Error(), `"v4"`) {
		t.Errorf("unknown form: %v", err)
	}
}

// However an item is printed, the secret in its value is not.
func TestItemsHideValues(t *testing.T) {
	items, err := ligato.Items(ligato.Pod{Label: "vnf1", Interfaces: []ligato.Interface{memif()}}, ligato.FormBoth)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(items[0].Value), "fh99pwvrkvd7n2kjvmtv") {
		t.Fatal("the value has no secret, so nothing is shown by its absence")
	}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", items)
		fmt.Fprintf(&b, verb+"\n", &items[0])
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("items", slog.Any("items", items), slog.Any("item", items[0]))
	}
	for _, leak := range []string{"fh99", fmt.Sprintf("%x", "fh99"), "102 104 57 57", "ZmgOO", "socket"} {
		if strings.Contains(b.String(), leak) {
			t.Errorf("what is printed contains %q:\n%s", leak, b.String())
		}
	}
	if !strings.Contains(b.String(), "/vnf-agent/vnf1/config/vpp/v2/interfaces/memif1 (") {
		t.Errorf("what is printed does not name the key:\n%s", b.String())
	}
}
