// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

// fourCustom is the pod that most figures are about: with eth0 it has five
// interfaces.
const (
	fourCustom = "tap1/tap, tap2/tap, veth1/veth, veth2/veth"
	interfaces = 5
)

// names counts those that were given.
var names atomic.Int32

func freshName(kind string) string { return fmt.Sprintf("%s-%d", kind, names.Add(1)) }

// node is a node of ours, with IPv4 only as the reference plugins and the
// default configuration have it, in a namespace of its own.
type node struct {
	*harness.Node
	plugin plugin
}

func startNode(t *testing.T) *node {
	t.Helper()
	inside := space(t, freshName("node"))
	n := harness.NewNode(t, func(c *config.Config) {
		c.Network.Subnets = []config.Subnet{{CIDR: netip.MustParsePrefix("10.1.0.0/16"), NodePrefixLen: 18}}
	})
	n.Inside, n.LogLevel = inside, "info"
	inMemory(t, n.Config.RunDir)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	conf := fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"type":"polynic-cni","socket":%q,"stateDir":%q}`,
		harness.NetworkName, n.Config.CNISocket(), n.Config.StateDir)
	return &node{Node: n, plugin: plugin{node: inside, path: harness.Bin("polynic-cni"), conf: conf}}
}

// inMemory puts a folder into memory, as /run is on a node.
func inMemory(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// pool makes pods that are known and have their sandbox, and nothing else.
func (n *node) pool(count int) []*harness.Pod {
	n.TB.Helper()
	pods := make([]*harness.Pod, count)
	for i := range pods {
		pods[i] = n.Pod(fourCustom)
	}
	return pods
}

func (n *node) add(p *harness.Pod) (time.Duration, error) {
	return n.plugin.run(n.TB, "ADD", told(p))
}

func (n *node) del(p *harness.Pod) (time.Duration, error) {
	return n.plugin.run(n.TB, "DEL", told(p))
}

func told(p *harness.Pod) sandbox {
	var args []string
	for _, a := range p.Runtime().Args {
		args = append(args, a[0]+"="+a[1])
	}
	return sandbox{id: p.ContainerID, netns: p.Netns, ifName: "eth0", args: strings.Join(args, ";")}
}

func (n *node) mustAdd(p *harness.Pod) time.Duration {
	n.TB.Helper()
	took, err := n.add(p)
	if err != nil {
		n.TB.Fatal(err)
	}
	return took
}

func (n *node) mustDel(p *harness.Pod) time.Duration {
	n.TB.Helper()
	took, err := n.del(p)
	if err != nil {
		n.TB.Fatal(err)
	}
	return took
}

// fill adds pods, several at once.
func (n *node) fill(count int) []*harness.Pod {
	n.TB.Helper()
	pods := n.pool(count)
	if err := inParallel(pods, func(p *harness.Pod) error { _, err := n.add(p); return err }); err != nil {
		n.TB.Fatal(err)
	}
	return pods
}

// atOnce is how many pods a burst starts at a time.
const atOnce = 16

func inParallel[T any](items []T, do func(T) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, item := range items {
		group.Go(func() error { return do(item) })
	}
	return group.Wait()
}

// waitGone waits until only so many attachments are left.
func (n *node) waitGone(left int) {
	n.TB.Helper()
	harness.Eventually(n.TB, time.Minute, func() error {
		status, err := n.Status()
		if err == nil && status.Counts.Attachments > left {
			err = fmt.Errorf("%d attachments are left", status.Counts.Attachments)
		}
		return err
	})
}

// agentTook is what the agent itself says that the pod's verb took, from the
// request read to the reply written.
func (n *node) agentTook(verb string, p *harness.Pod) time.Duration {
	n.TB.Helper()
	line := regexp.MustCompile(`msg="cni request" verb=` + verb + ` .*container=` + p.ContainerID[:12] + ` .*duration=(\S+)`)
	var took time.Duration
	harness.Eventually(n.TB, time.Minute, func() error {
		log, err := os.ReadFile(filepath.Join(n.Dir, "agent.log"))
		if err != nil {
			return err
		}
		found := line.FindSubmatch(log)
		if found == nil {
			return errors.New("the agent's log does not have the request")
		}
		took, err = time.ParseDuration(string(found[1]))
		return err
	})
	return took
}

// expectAnswers fails unless the gateway answers on every interface.
func expectAnswers(t *testing.T, ns *netns.Handle, gateways map[string]string) {
	t.Helper()
	for name, gateway := range gateways {
		run(t, ns, "ping", "-n", "-q", "-c", "1", "-W", "10", "-I", name, gateway)
	}
}

// run executes a command in a namespace.
func run(t testing.TB, ns *netns.Handle, command string, args ...string) string {
	t.Helper()
	out, err := output(t.Context(), ns, command, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func output(ctx context.Context, ns *netns.Handle, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// open opens a pod's namespace for the test.
func open(t *testing.T, p *harness.Pod) *netns.Handle {
	t.Helper()
	h, err := netns.Open(p.Netns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}
