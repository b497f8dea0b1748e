// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet_test

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

// What the node has is in the way of a range where packets would go astray, and what is
// ours, wider, or elsewhere is not.
func TestInTheWay(t *testing.T) {
	need.Root(t)
	need.Command(t, need.Kernel, "ip")
	for _, line := range []string{
		"link add lan type bridge", "link set lan up",
		"addr add 192.168.7.9/16 dev lan", "addr add fd00:7::9/64 dev lan nodad",
		"route add default via 192.168.0.1",
		"route add 172.16.0.0/12 via 192.168.0.2",
		"route add 172.30.1.128/25 via 192.168.0.2",
		"route add blackhole 10.9.0.0/24",
		"route add 10.1.1.7/32 dev lan proto 80",
		"link add vpp1 type veth peer name vpp2", "link set vpp1 alias polynic_host-link", "link set vpp1 up",
		"addr add 172.29.1.2/24 dev vpp1", "addr add fd00:29::2/64 dev vpp1 nodad",
	} {
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	list, err := nodenet.Networks()
	if err != nil {
		t.Fatal(err)
	}
	for r, want := range map[string]string{
		"192.168.3.0/24":  "192.168.7.9/16 of lan",
		"192.168.0.0/12":  "192.168.7.9/16 of lan",
		"fd00:7::/48":     "fd00:7::9/64 of lan",
		"172.30.1.0/24":   "the route to 172.30.1.128/25 of lan",
		"172.30.1.128/25": "the route to 172.30.1.128/25 of lan",
		"10.9.0.0/24":     "the route to 10.9.0.0/24",
		"172.30.2.0/24":   "", // a part of a wider route's
		"172.29.1.0/24":   "", // ours
		"fd00:29::/64":    "",
		"10.1.1.0/24":     "", // a pod's
		"172.31.0.0/16":   "",
	} {
		got := ""
		if n, ok := nodenet.InTheWay(list, netip.MustParsePrefix(r)); ok {
			got = n.String()
		}
		if got != want {
			t.Errorf("in the way of %s is %q, want %q, of %v", r, got, want, list)
		}
	}
}
