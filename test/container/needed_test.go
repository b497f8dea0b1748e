// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/harness"
)

const (
	agentManifest = "base/agent.yaml"
	relayManifest = "relay/relay.yaml"
)

// Without any one of its capabilities there is something that agent or relay
// cannot do.
func TestEachCapabilityIsNeeded(t *testing.T) {
	agent, relay := capabilities(t, agentManifest), capabilities(t, relayManifest)
	t.Run("none missing", func(t *testing.T) {
		if err := try(t, agent, relay, time.Minute); err != nil {
			t.Error(err)
		}
	})
	for _, missing := range agent {
		t.Run("agent/"+missing, func(t *testing.T) { lacks(t, without(agent, missing), relay) })
	}
	for _, missing := range relay {
		t.Run("relay/"+missing, func(t *testing.T) { lacks(t, agent, without(relay, missing)) })
	}
}

func without(all []string, missing string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(c string) bool { return c == missing })
}

func lacks(t *testing.T, agent, relay []string) {
	t.Helper()
	const inVain = 3 * time.Second // is waited for what does not come
	if err := try(t, agent, relay, inVain); err == nil {
		t.Error("everything works without it: take it out of the manifest")
	} else {
		t.Log(err)
	}
}

// try does whatever needs a capability, and gives what goes wrong first; limit bounds
// each wait.
func try(t *testing.T, agent, relay []string, limit time.Duration) error {
	t.Helper()
	n := harness.NewNode(t, nil)
	n.Contain(agent, relay)
	defer n.Contain(capabilities(t, agentManifest), capabilities(t, relayManifest)) // for what removes all
	n.LaunchRelay()
	if err := harness.Poll(limit, n.AskRelay); err != nil {
		return err
	}
	n.StartAgent()
	err := harness.Poll(limit, func() error {
		status, err := n.Status()
		if err == nil && !status.Ready {
			err = fmt.Errorf("not ready: %v", status.Problems)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := n.Pod(everything).Add(); err != nil {
		return err
	}
	return errors.Join(connect(t, n, limit), clear(t, agent), complaint(t, n))
}

// complaint is what the agent says that it may not do, though it goes on. That it
// takes its time it says too, on a busy machine.
func complaint(t *testing.T, n *harness.Node) error {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.Dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "operation not permitted") || strings.Contains(line, "permission denied") {
			return errors.New(line)
		}
	}
	return nil
}

// connect has this process, an application in a pod, connect to a memif.
func connect(t *testing.T, n *harness.Node, limit time.Duration) error {
	t.Helper()
	own, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	path := "/run/netns/application"
	if err := (netns.Pins{}).PinOpen(own, path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = netns.Unpin(path) }()
	folder := filepath.Join(n.Dir, "application")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	client := relayapi.New(n.Config.RelaySocket(), slog.New(slog.DiscardHandler))
	defer client.Close()
	port := relayapi.MemifPort{
		ID: "test", Mode: relayapi.MemifEthernet, MTU: 1500, Secret: "secret",
		Socket: relayapi.MemifSocket{
			Folder: folder, Name: "memif.sock", QueuePairs: 1, RingSize: 1024,
			Pod: model.Netns{Path: path, Inode: own.Inode()},
		},
	}
	if err := client.AttachMemifs(t.Context(), []relayapi.MemifPort{port})[0]; err != nil {
		return err
	}
	defer func() { _ = client.Detach(t.Context(), []string{port.ID}) }()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	application, err := memif.Dial(filepath.Join(folder, "memif.sock"), memif.Config{Secret: "secret"})
	if err != nil {
		return err
	}
	defer application.Close()
	_, err = application.Connected(ctx)
	return err
}

// clear removes the memif folder of a container whose user made a folder of its
// own there, which it closed to all others.
func clear(t *testing.T, capabilities []string) error {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "memif", "allocation")
	closed := filepath.Join(folder, "closed")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(closed, "file")
	const user = 1000
	err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chown(file, user, user), os.Chown(closed, user, user))
	if err != nil {
		t.Fatal(err)
	}
	c := harness.Container{Capabilities: capabilities, Role: harness.RemoveFolderRole, Volumes: []string{"/"}}
	cmd, err := c.Command("/proc/self/exe", folder)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%w: %s", failed, out)
	}
	return err
}
