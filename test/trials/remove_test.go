// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// TestRemove takes polynic off a node whose pods run on: these and the node have
// nothing of it any more, and the node forwards if it did before. The journal
// knows the pods' namespaces; where it is lost they are found in the runtime's
// folder.
func TestRemove(t *testing.T) {
	for name, test := range map[string]struct {
		podNetnsDir string
		journalLost bool
		forwarding  string // before
	}{
		"with the journal":    {podNetnsDir: "/nowhere", forwarding: "0"},
		"without the journal": {podNetnsDir: "/run/netns", journalLost: true, forwarding: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			n := harness.NewNode(t, func(c *config.Config) { c.PodNetnsDir = test.podNetnsDir })
			forward(t, test.forwarding)
			node, err := n.LookAtKernel()
			if err != nil {
				t.Fatal(err)
			}
			n.StartRelay()
			startAgent(t, n, nil)
			before := map[*harness.Pod]string{}
			for _, annotation := range []string{mixed, "veth1/veth"} {
				p := n.Pod(annotation)
				look, err := p.Look()
				if err != nil {
					t.Fatal(err)
				}
				before[p] = string(look)
				p.MustAdd()
			}
			n.Agent.Kill()
			if test.journalLost {
				if err := os.Remove(n.Config.JournalFile()); err != nil {
					t.Fatal(err)
				}
			}
			n.Remove()
			now, err := n.LookAtKernel()
			if diff := cmp.Diff(strings.Split(string(node), "\n"), strings.Split(string(now), "\n")); diff != "" || err != nil {
				t.Errorf("the node: %v (-before +after):\n%s", err, diff)
			}
			for p, want := range before {
				look, err := p.Look()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(look), "\n")); diff != "" {
					t.Errorf("%s (-before +after):\n%s", p.Name, diff)
				}
			}
		})
	}
}

// TestRemoveAfterVPP takes off what agents left that had VPP switch, which is gone, by a
// configuration that does not say so: that of who takes polynic off a cluster.
func TestRemoveAfterVPP(t *testing.T) {
	n := harness.NewNode(t, nil)
	node, err := n.LookAtKernel()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"ip link add vpp1 type veth peer name vpp2",
		"ip link set vpp1 up group 20561 alias", "ip link set vpp2 up group 20560 alias", // as the agent marks the node's link to VPP
		"ip addr add 172.30.1.2/24 dev vpp1",
	} {
		args := strings.Fields(command)
		if strings.HasSuffix(command, " alias") {
			args = append(args, "polynic host-link")
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(n.Config.RunDir, "vpp.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.StartRelay()
	n.Remove()
	now, err := n.LookAtKernel()
	if diff := cmp.Diff(strings.Split(string(node), "\n"), strings.Split(string(now), "\n")); diff != "" || err != nil {
		t.Errorf("the node: %v (-before +after):\n%s", err, diff)
	}
}

// forward has the node forward, in both families, or not.
func forward(t *testing.T, value string) {
	t.Helper()
	for _, setting := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		before, err := os.ReadFile(setting)
		if err == nil {
			err = os.WriteFile(setting, []byte(value), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.WriteFile(setting, before, 0o644) })
	}
}
