// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

func node() plan.Node {
	return plan.Node{Default: desired.Network{
		Name:     model.DefaultNetwork,
		Gateways: addrs("10.1.1.1", "fd10:1:0:1::1"),
		Pods: []netip.Prefix{
			netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd10:1:0:1::/64"),
		},
		Inside: []netip.Prefix{
			netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48"),
		},
		Masquerade: true,
	}}
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// seedPod is the pod of the seed document, with a stub interface more.
func seedPod() model.Attachment {
	return model.Attachment{
		ID:    model.AttachmentID{ContainerID: strings.Repeat("0123456789abcdef", 4), IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: "multi-if-pod"},
		Netns: model.Netns{Path: "/run/netns/a", Inode: 7},
		MTU:   1450,
		Interfaces: []model.Interface{
			{Name: "eth0", Type: podif.Tap, Network: "default", Queues: 2, Addresses: addrs("10.1.1.2", "fd10:1:0:1::2")},
			{Name: "tap1", Type: podif.Tap, Network: "default", Queues: 2, Addresses: addrs("10.1.1.3", "fd10:1:0:1::3")},
			{Name: "veth1", Type: podif.Veth, Network: "default", Addresses: addrs("10.1.1.4")},
			{Name: "veth2", Type: podif.Veth, Network: "stub"},
			{
				Name: "memif1", Type: podif.Memif, Network: "default", Queues: 1, Addresses: addrs("10.1.1.5", "fd10:1:0:1::5"),
				Memif: &model.Memif{Folder: "/run/polynic/memif/f", Secret: model.NewSecret("bcdfghjklmnpqrstvwxz")},
			},
			{Name: "memif2", Type: podif.Memif, Network: "stub", Queues: 1, Memif: &model.Memif{ID: 1, Folder: "/run/polynic/memif/f"}},
		},
	}
}

const seedPlan = `
network node default gateway 10.1.1.1 gateway fd10:1:0:1::1 pods 10.1.1.0/24 pods fd10:1:0:1::/64 inside 10.1.0.0/16 inside fd10:1::/48 masquerade
network node stub
veth CID/eth0 veth1 pod default/multi-if-pod network default mtu 1450 mac 02:fe:66:a4:2e:71 switch-mac 02:fe:99:5b:d1:8e
  address 10.1.1.4/32 neighbor 10.1.1.1=02:fe:99:5b:d1:8e route 10.1.1.1/32 table 1002 route 0.0.0.0/0 via 10.1.1.1 table 1002
  rule 1002 from 10.1.1.4/32 table 1002 rule 1002 oif table 1002
veth CID/eth0 veth2 pod default/multi-if-pod network stub mtu 1450 mac 02:fe:d3:a2:2e:70 switch-mac 02:fe:2c:5d:d1:8f
tap CID/eth0 eth0 pod default/multi-if-pod network default mtu 1450 mac 02:fe:7e:fc:57:88 switch-mac 02:fe:81:03:a8:77
  address 10.1.1.2/32 address fd10:1:0:1::2/128
  neighbor 10.1.1.1=02:fe:81:03:a8:77 neighbor fd10:1:0:1::1=02:fe:81:03:a8:77
  route 10.1.1.1/32 route 0.0.0.0/0 via 10.1.1.1 route fd10:1:0:1::1/128 route ::/0 via fd10:1:0:1::1 queues 2
tap CID/eth0 tap1 pod default/multi-if-pod network default mtu 1450 mac 02:fe:42:27:69:12 switch-mac 02:fe:bd:d8:96:ed
  address 10.1.1.3/32 address fd10:1:0:1::3/128
  neighbor 10.1.1.1=02:fe:bd:d8:96:ed neighbor fd10:1:0:1::1=02:fe:bd:d8:96:ed
  route 10.1.1.1/32 table 1001 route 0.0.0.0/0 via 10.1.1.1 table 1001 route fd10:1:0:1::1/128 table 1001 route ::/0 via fd10:1:0:1::1 table 1001
  rule 1001 from 10.1.1.3/32 table 1001 rule 1001 oif table 1001
  rule 1001 from fd10:1:0:1::3/128 table 1001 rule 1001 oif inet6 table 1001 queues 2
memif CID/eth0 memif1 pod default/multi-if-pod network default mtu 1450 mac 02:fe:a3:a9:57:70 switch-mac 02:fe:5c:56:a8:8f
  address 10.1.1.5/32 address fd10:1:0:1::5/128
  id 0 folder /run/polynic/memif/f rings 4x4096 queues 1 gateway 10.1.1.1 gateway fd10:1:0:1::1
memif CID/eth0 memif2 pod default/multi-if-pod network stub mtu 1450 mac 02:fe:36:ab:57:71 switch-mac 02:fe:c9:54:a8:8e
  id 1 folder /run/polynic/memif/f rings 4x4096 queues 1
neighbor CID/eth0 default 10.1.1.2 dev eth0 mac 02:fe:7e:fc:57:88
neighbor CID/eth0 default 10.1.1.3 dev tap1 mac 02:fe:42:27:69:12
neighbor CID/eth0 default 10.1.1.4 dev veth1 mac 02:fe:66:a4:2e:71
neighbor CID/eth0 default fd10:1:0:1::2 dev eth0 mac 02:fe:7e:fc:57:88
neighbor CID/eth0 default fd10:1:0:1::3 dev tap1 mac 02:fe:42:27:69:12
route CID/eth0 default 10.1.1.2/32 dev eth0
route CID/eth0 default 10.1.1.3/32 dev tap1
route CID/eth0 default 10.1.1.4/32 dev veth1
route CID/eth0 default 10.1.1.5/32 dev memif1
route CID/eth0 default fd10:1:0:1::2/128 dev eth0
route CID/eth0 default fd10:1:0:1::3/128 dev tap1
route CID/eth0 default fd10:1:0:1::5/128 dev memif1
`

func TestSeedPod(t *testing.T) {
	set, problems := plan.Compile(plan.Snapshot{Node: node(), Attachments: []model.Attachment{seedPod()}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := strings.ReplaceAll(set.String(), seedPod().ID.ContainerID, "CID")
	want := strings.TrimPrefix(strings.ReplaceAll(seedPlan, "\n  ", " "), "\n")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestLeavingAttachmentHasNoPart(t *testing.T) {
	leaving := seedPod()
	leaving.Leaving = true
	set, problems := plan.Compile(plan.Snapshot{Node: node(), Attachments: []model.Attachment{leaving}})
	if len(problems) > 0 || len(set) != 2 {
		t.Errorf("plan is\n%s(%v), want the two networks alone", set, problems)
	}
}

func TestWhatCannotBePlannedIsNamedAndLeftOut(t *testing.T) {
	strange := seedPod()
	strange.ID.ContainerID = "other"
	strange.Interfaces[1].Type = podif.Memif
	set, problems := plan.Compile(plan.Snapshot{Node: node(), Attachments: []model.Attachment{strange, seedPod()}})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "interface tap1 of pod default/multi-if-pod") {
		t.Errorf("problems %v, want one that names tap1 and its pod", problems)
	}
	for key := range set {
		if key.Owner.ContainerID == "other" {
			t.Errorf("%s is planned for a pod that cannot be", key)
		}
	}
}
