// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab/kubelet"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/need"
)

// Node is the node under test.
type Node struct {
	TB     testing.TB
	Dir    string
	Config config.Config
	Agent  *Process
	Relay  *Process
	// Kubelet is there where the configuration offers memif devices and names no
	// kubelet's folder.
	Kubelet *kubelet.Kubelet

	// Env is added to the agent's and the relay's environment.
	Env []string
	// LogLevel is the agent's.
	LogLevel string
	// Inside is the network namespace that agent and relay run in; nil is the
	// test's own.
	Inside *netns.Handle

	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	// containers are those of programs that run in one.
	containers map[string]*Container

	pods    atomic.Int64 // made so far, for names
	lists   atomic.Int64 // that kubelet was asked for
	removed bool
}

// NewNode makes a dual stack node in a temporary folder; alter may change its
// configuration. Nothing runs yet.
func NewNode(t testing.TB, alter func(*config.Config)) *Node {
	t.Helper()
	need.Tun(t)
	need.Command(t, need.Kernel, "nft")
	dir := t.TempDir()
	n := &Node{TB: t, Dir: dir, Config: config.Default(), LogLevel: "debug"}
	c := &n.Config
	c.NodeName = "node1"
	c.StateDir, c.RunDir = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	c.PodSource = "dir:" + filepath.Join(dir, "pods")
	c.Memif.KubeletDir = filepath.Join(dir, "kubelet")
	c.Network.Subnets = append(c.Network.Subnets,
		config.Subnet{CIDR: netip.MustParsePrefix("fd10:1::/48"), NodePrefixLen: 64})
	if alter != nil {
		alter(c)
	}
	for _, d := range []string{c.StateDir, c.RunDir, filepath.Join(dir, "pods"), filepath.Join(dir, "failpoints")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.Env = []string{"POLYNIC_FAILPOINTS=" + n.failpoints()}
	n.WriteConfig()
	n.prepareCNI()
	t.Cleanup(n.showLogs)
	t.Cleanup(n.expectNoRace)
	// In another folder there is another kubelet.
	if c.Memif.Enabled && c.Memif.KubeletDir == filepath.Join(dir, "kubelet") {
		n.startKubelet()
	}
	return n
}

// Start starts relay and agent and waits until requests are served.
func Start(t testing.TB, alter func(*config.Config)) *Node {
	t.Helper()
	n := NewNode(t, alter)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	return n
}

// WriteConfig writes Config, which a later agent reads.
func (n *Node) WriteConfig() {
	n.TB.Helper()
	data, err := yaml.Marshal(n.Config)
	if err != nil {
		n.TB.Fatal(err)
	}
	if err := os.WriteFile(n.configFile(), data, 0o600); err != nil {
		n.TB.Fatal(err)
	}
}

func (n *Node) configFile() string { return filepath.Join(n.Dir, "agent.yaml") }
func (n *Node) failpoints() string { return filepath.Join(n.Dir, "failpoints") }

// StartAgent starts an agent; WaitReady tells when it serves.
func (n *Node) StartAgent() {
	n.TB.Helper()
	n.Agent = n.start("agent.log", Bin("polynic-agent"), "--config", n.configFile(), "--log-level", n.LogLevel)
}

// StartRelay starts a relay and waits until it answers.
func (n *Node) StartRelay() {
	n.TB.Helper()
	n.LaunchRelay()
	Eventually(n.TB, time.Minute, n.AskRelay)
}

// AskRelay reports that the relay does not answer.
func (n *Node) AskRelay() error {
	client := relayapi.New(n.Config.RelaySocket(), slog.New(slog.DiscardHandler))
	defer client.Close()
	_, err := client.List(context.Background())
	return err
}

// LaunchRelay starts a relay; AskRelay tells when it answers.
func (n *Node) LaunchRelay() {
	n.TB.Helper()
	n.Relay = n.start("relay.log", Bin("polynic-relay"), "--socket", n.Config.RelaySocket(), "--state", filepath.Join(n.Config.RunDir, "relay"))
	n.TB.Cleanup(n.Remove) // before this relay is killed
}

// Remove takes everything off the node that polynic made, by polynic's own
// means, once no agent runs.
func (n *Node) Remove() {
	if n.removed {
		return
	}
	n.removed = true
	if n.Agent != nil {
		n.Agent.Kill()
	}
	var out []byte
	cmd, err := Program{
		Path: Bin("polynic-agent"), Args: []string{"remove", "--config", n.configFile()}, Container: n.containers[Bin("polynic-agent")],
	}.command()
	if err == nil {
		err = n.inside(func() (err error) {
			out, err = cmd.CombinedOutput()
			return err
		})
	}
	if err != nil {
		n.TB.Errorf("polynic-agent remove: %v: %s", err, out)
	}
}

// WaitReady waits until the agent says that it is ready.
func (n *Node) WaitReady() {
	n.TB.Helper()
	Eventually(n.TB, time.Minute, func() error {
		select {
		case <-n.Agent.Ended():
			n.TB.Fatal("the agent ended")
		default:
		}
		status, err := n.Status()
		if err == nil && !status.Ready {
			err = fmt.Errorf("not ready: %v", status.Problems)
		}
		return err
	})
}

// RestartAgent kills the agent, starts another one and waits for it.
func (n *Node) RestartAgent() {
	n.TB.Helper()
	n.Agent.Kill()
	n.StartAgent()
	n.WaitReady()
}

// Status asks the agent how it fares.
func (n *Node) Status() (inspect.Status, error) {
	return inspect.NewClient(n.Config.InspectSocket()).Status(context.Background())
}

// Interfaces asks the agent for what `polynic get interfaces` shows.
func (n *Node) Interfaces() []inspect.Interface {
	n.TB.Helper()
	list, err := inspect.NewClient(n.Config.InspectSocket()).Interfaces(context.Background())
	if err != nil {
		n.TB.Fatal(err)
	}
	return list
}

// expectNoRace fails the test where the race detector, with which RaceEnv has
// agent and relay built, said something: of a process that is killed nobody sees
// the exit code.
func (n *Node) expectNoRace() {
	for _, name := range []string{"agent.log", "relay.log"} {
		data, err := os.ReadFile(filepath.Join(n.Dir, name))
		if _, report, found := strings.Cut(string(data), "DATA RACE"); err == nil && found {
			n.TB.Errorf("%s: data race%.3000s", name, report)
		}
	}
}

// showLogs prints what the programs logged, where the test failed.
func (n *Node) showLogs() {
	if !n.TB.Failed() {
		return
	}
	const shown = 6000
	for _, name := range []string{"agent.log", "relay.log"} {
		data, err := os.ReadFile(filepath.Join(n.Dir, name))
		if err != nil {
			continue
		}
		n.TB.Logf("%s (its end):\n%s", name, data[max(0, len(data)-shown):])
	}
}
