// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/ip6_nd"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/need"
)

// echoes is how many pings a pod has got.
func (w *wired) echoes(a model.Attachment) int {
	w.t.Helper()
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		w.t.Fatal(err)
	}
	defer h.Close()
	var text []byte
	if err := h.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^Icmp: (.*)$`).FindAllStringSubmatch(string(text), 2)
	if len(lines) != 2 {
		w.t.Fatalf("counters of ICMP: %s", text)
	}
	at := slices.Index(strings.Fields(lines[0][1]), "InEchos")
	n, err := strconv.Atoi(strings.Fields(lines[1][1])[at])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// Every address answers to every other, to the node, and by the interface that was
// asked; bulk traffic arrives too.
func TestTraffic(t *testing.T) {
	need.Command(t, need.Kernel, "ping")
	w, p := onVPP(t)
	a, b := w.add(1), w.add(2)
	for _, line := range []string{
		"ping -c1 -W2 10.1.1.1", "ping -c1 -W2 fd10:1:0:1::1",
		"ping -c1 -W2 172.30.1.2", "ping -c1 -W2 fd30:1::2",
		"ping -c1 -W2 10.1.1.21", "ping -c1 -W2 fd10:1:0:1::21",
		"ping -c1 -W2 10.1.1.22", "ping -c1 -W2 fd10:1:0:1::22",
		"ping -c1 -W2 -I tap1 10.1.1.21", "ping -c1 -W2 -I tap1 fd10:1:0:1::21",
		"ping -c1 -W2 -I tap1 10.1.1.22", "ping -c1 -W2 -I tap1 fd10:1:0:1::22",
		"ping -c1 -W2 -s 1400 -M do 10.1.1.22",
	} {
		if err := w.run(a, line); err != nil {
			t.Error(err)
		}
	}
	for _, line := range []string{"ping -c1 -W2 10.1.1.11", "ping -c1 -W2 fd10:1:0:1::11", "ping -c1 -W2 10.1.1.12", "ping -c1 -W2 fd10:1:0:1::12"} {
		if err := shell(line); err != nil {
			t.Errorf("from the node: %v", err)
		}
	}
	before := w.echoes(b)
	if err := w.run(a, "ip addr add 10.1.1.99/32 dev eth0 && ping -c1 -W1 -I 10.1.1.99 10.1.1.21"); err == nil || !strings.Contains(err.Error(), "100% packet loss") {
		t.Errorf("a ping from an address of nobody's: %v", err)
	}
	if after := w.echoes(b); after != before { // whatever becomes of the answer
		t.Errorf("a ping from an address of nobody's arrives: %d pings, then %d", before, after)
	}
	advertising := vpptest.List[ip6_nd.SwInterfaceIP6ndRaDetails](vpptest.Dial(t, p.API), &ip6_nd.SwInterfaceIP6ndRaDump{SwIfIndex: ^interface_types.InterfaceIndex(0)})
	if len(advertising) == 0 {
		t.Error("no interface has IPv6; a memif must")
	}
	for _, d := range advertising {
		if d.SendRadv {
			t.Errorf("interface %d advertises a router", d.SwIfIndex)
		}
	}
	for port, target := range []string{"10.1.1.21", "10.1.1.22", "fd10:1:0:1::21"} {
		if err := w.run(b, fmt.Sprintf("iperf3 -s -1 -D -p %d --logfile /dev/null", 6000+port)); err != nil {
			t.Fatal(err)
		}
		const megabytes = 20
		if err := w.run(a, fmt.Sprintf("timeout 20 iperf3 -c %s -p %d -n %dM", target, 6000+port, megabytes)); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.Log(p.Do(t, "show interface"))
		t.Log(p.Do(t, "show errors"))
	}
}
