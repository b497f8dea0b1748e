// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

var update = flag.Bool("update", false, "write the golden files")

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// everything is a pod with an interface of each kind.
func everything() attach.Result {
	const container = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	iface := func(name string, kind podif.Type, network string, addresses ...string) attach.ResultInterface {
		mac := name
		if name == "eth0" {
			mac = ""
		}
		return attach.ResultInterface{
			Name: name, Type: kind, Network: network, MTU: 1450, MAC: model.PodMAC(container, mac), Addresses: prefixes(addresses...),
		}
	}
	eth0 := iface("eth0", podif.Veth, model.DefaultNetwork, "10.1.1.2/32", "fd00:10:1:1::2/128")
	eth0.Gateways = []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00:10:1:1::1")}
	memif := iface("memif1", podif.Memif, model.DefaultNetwork, "10.1.1.5/32", "fd00:10:1:1::5/128")
	memif.SocketPath, memif.Memif = "/run/vpp/memif.sock", &model.Memif{ID: 0, Container: "vnf", Folder: "/host/only", Allocation: "secret-folder"}
	second := memif
	second.Name, second.MAC, second.Addresses, second.Network = "memif2", model.PodMAC(container, "memif2"), nil, model.StubNetwork
	second.Memif = &model.Memif{ID: 1, Container: "vnf"}
	return attach.Result{NetnsPath: "/run/netns/x", Interfaces: []attach.ResultInterface{
		eth0,
		iface("tap1", podif.Tap, model.DefaultNetwork, "10.1.1.3/32", "fd00:10:1:1::3/128"),
		iface("veth1", podif.Veth, model.DefaultNetwork, "10.1.1.4/32", "fd00:10:1:1::4/128"),
		memif, second,
		iface("stub1", podif.Tap, model.StubNetwork),
	}}
}

func TestAnnotationOfEveryKind(t *testing.T) {
	got, err := NetworkStatus("polynic", everything())
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "network-status.json")
	if *update {
		if err := os.WriteFile(golden, []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), got); diff != "" {
		t.Errorf("annotation (-want +got; -update writes it):\n%s", diff)
	}
}

// The specification keeps every key without a period for itself, and wants
// exactly one default network.
func TestKeysAreThoseOfTheSpecification(t *testing.T) {
	text, err := NetworkStatus("polynic", everything())
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{
		"name": true, "interface": true, "ips": true, "mac": true, "mtu": true, "default": true,
		"dns": true, "gateway": true, "device-info": true,
	}
	defaults := 0
	for _, e := range list {
		for key := range e {
			if !known[key] && !strings.HasPrefix(key, "io.contivpp.") {
				t.Errorf("key %s is not ours to choose", key)
			}
		}
		if string(e["default"]) == "true" {
			defaults++
		}
	}
	if defaults != 1 {
		t.Errorf("%d elements are the default network", defaults)
	}
}

// Kubernetes takes annotations of 256 KiB and no longer.
func TestAnnotationsOfManyInterfaces(t *testing.T) {
	for number, fits := range map[int]bool{1: true, 100: true, 400: true, 2000: false} {
		made := attach.Result{}
		for n := range number {
			made.Interfaces = append(made.Interfaces, attach.ResultInterface{
				Name: fmt.Sprintf("tap%d", n), Type: podif.Tap, Network: model.DefaultNetwork, MTU: 1450, Addresses: prefixes("10.1.1.2/32"),
			})
		}
		text, err := NetworkStatus("polynic", made)
		if (err == nil) != fits || len(text) > maxSize {
			t.Errorf("%d interfaces: %d bytes, %v", number, len(text), err)
		}
	}
}
