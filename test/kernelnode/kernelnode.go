// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package kernelnode is a node of the test's own network namespace, for drivers of
// which a part is the kernel's: a relay that runs, a folder, and pods.
package kernelnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/need"
)

// Node is one test's.
type Node struct {
	// Dir goes with the test; the namespaces of pods are pinned in it.
	Dir   string
	Relay *relayapi.Client

	t    testing.TB
	pods int
}

// New starts the relay.
func New(t testing.TB) *Node {
	t.Helper()
	need.Tun(t)
	need.Command(t, need.Kernel, "nft")
	// A test's own folder has too long a name for the paths of sockets.
	dir, err := os.MkdirTemp("", "node") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{t: t, Dir: dir}
	socket := filepath.Join(dir, "relay.sock")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- relay.Run(ctx, relay.Config{Socket: socket, StateDir: filepath.Join(dir, "relay")}, slog.New(slog.DiscardHandler))
	}()
	n.Relay = relayapi.New(socket, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		n.Relay.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("relay: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Harness is the node for the drivers' suite.
func (n *Node) Harness(open func() (dataplane.Driver, error)) drivertest.Harness {
	return drivertest.Harness{
		Open: open, Pod: n.Pod, Folder: n.Folder, Kill: n.Kill, Jam: n.Jam, Occupy: n.Occupy, Occupied: n.Occupied,
	}
}

// Folder makes a folder of a container.
func (n *Node) Folder() string {
	n.t.Helper()
	dir, err := os.MkdirTemp(n.Dir, "container")
	if err != nil {
		n.t.Fatal(err)
	}
	return dir
}

// Pod makes a pod's namespace.
func (n *Node) Pod() model.Netns {
	n.t.Helper()
	n.pods++
	path := filepath.Join(n.Dir, fmt.Sprintf("pod-%d", n.pods))
	if err := netns.Pin(path); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = netns.Unpin(path) })
	h, err := netns.Open(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer h.Close()
	return model.Netns{Path: path, Inode: h.Inode()}
}

// Kill ends a pod's namespace.
func (n *Node) Kill(ns model.Netns) {
	n.t.Helper()
	if err := netns.Unpin(ns.Path); err != nil {
		n.t.Error(err)
	}
}

// Jam has the path of a pod's namespace lead nowhere that can be told, while the
// namespace lives on.
func (n *Node) Jam(ns model.Netns) (free func()) {
	n.t.Helper()
	h, err := netns.OpenExact(ns)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Kill(ns)
	if err := os.Symlink(filepath.Base(ns.Path), ns.Path); err != nil { // to itself
		n.t.Fatal(err)
	}
	return func() {
		n.t.Helper()
		held := fmt.Sprintf("/proc/self/fd/%d", h.FD())
		if err := errors.Join(os.Remove(ns.Path), os.WriteFile(ns.Path, nil, 0o444),
			unix.Mount(held, ns.Path, "", unix.MS_BIND, ""), h.Close()); err != nil {
			n.t.Fatal(err)
		}
	}
}

// In gives a netlink socket in a pod.
func (n *Node) In(ns model.Netns) *nl.Handle {
	n.t.Helper()
	h, err := netns.OpenExact(ns)
	if err != nil {
		n.t.Fatal(err)
	}
	defer h.Close()
	handle, err := nl.Open(h)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(handle.Close)
	return handle
}

// Occupy makes a bridge of the name: nothing that polynic makes in pods.
func (n *Node) Occupy(ns model.Netns, name string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := n.In(ns).LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		n.t.Fatal(err)
	}
}

// Occupied reports whether the bridge is there.
func (n *Node) Occupied(ns model.Netns, name string) bool {
	link, err := n.In(ns).LinkByName(name)
	return err == nil && link.Type() == "bridge"
}
