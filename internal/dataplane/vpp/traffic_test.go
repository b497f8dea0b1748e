// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

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
	if err := w.run(a, "ip addr add 10.1.1.99/32 dev eth0 && ping -c1 -W1 -I 10.1.1.99 10.1.1.21"); err == nil || !strings.Contains(err.Error(), "100% packet loss") {
		t.Errorf("a ping from an address of nobody's: %v", err)
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
