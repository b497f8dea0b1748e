// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/polynic/polynic/internal/netns"
)

// plugin is a CNI plugin with its network configuration, on a node.
type plugin struct {
	node *netns.Handle
	path string
	conf string
}

// sandbox is what a runtime tells a plugin.
type sandbox struct {
	id, netns, ifName, args string
}

// run executes the plugin as libcni does and gives the time from its start
// until the runtime knows the result.
func (p plugin) run(t testing.TB, command string, s sandbox) (time.Duration, error) {
	t.Helper()
	environment := (&invoke.Args{
		Command: command, ContainerID: s.id, NetNS: s.netns, IfName: s.ifName,
		PluginArgsStr: s.args, Path: filepath.Dir(p.path),
	}).AsEnv()
	var took time.Duration
	err := p.node.Do(func() error {
		begin := time.Now()
		_, err := (&invoke.RawExec{}).ExecPlugin(t.Context(), p.path, []byte(p.conf), environment)
		took = time.Since(begin)
		return err
	})
	if err != nil {
		err = fmt.Errorf("%s of %s by %s: %w", command, s.ifName, filepath.Base(p.path), err)
	}
	return took, err
}

// space makes a network namespace that lives as long as the test.
func space(t testing.TB, name string) *netns.Handle {
	t.Helper()
	path := filepath.Join("/run/netns", name)
	if err := netns.Pin(path); err != nil {
		t.Fatal(err)
	}
	h, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := netns.Unpin(path); err != nil {
			t.Error(err)
		}
	})
	run(t, h, "ip", "link", "set", "lo", "up")
	return h
}
