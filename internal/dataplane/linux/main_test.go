// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) {
	if code := isolate.Main(m); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// lab is a node made of the test's own namespace: a running relay, a folder,
// and pods.
type lab struct {
	t     *testing.T
	dir   string
	relay *relayapi.Client
	pods  int
	// podNetns is where the driver looks for the namespaces of pods.
	podNetns string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	need.Tun(t)
	need.Command(t, need.Kernel, "nft")
	l := &lab{t: t, dir: t.TempDir()}
	l.podNetns = l.dir
	socket := filepath.Join(l.dir, "relay.sock")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- relay.Run(ctx, relay.Config{Socket: socket, StateDir: filepath.Join(l.dir, "relay")}, slog.New(slog.DiscardHandler))
	}()
	l.relay = relayapi.New(socket, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		l.relay.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	t.Cleanup(l.removeNode)
	return l
}

func (l *lab) open() (*linux.Driver, error) {
	return linux.New(linux.Config{
		Log: slog.New(slog.DiscardHandler), Relay: l.relay,
		NetnsDir: filepath.Join(l.dir, "netns"), PodNetnsDir: l.podNetns, StateFile: filepath.Join(l.dir, "linux.json"),
	})
}

// removeNode takes away what the driver made, as an uninstall does.
func (l *lab) removeNode() {
	d, err := l.open()
	if err != nil {
		l.t.Error(err)
		return
	}
	if err := errors.Join(d.RemoveAll(context.Background(), nil), d.Close()); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) pod() model.Netns {
	l.t.Helper()
	l.pods++
	path := filepath.Join(l.dir, fmt.Sprintf("pod-%d", l.pods))
	if err := netns.Pin(path); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = netns.Unpin(path) })
	h, err := netns.Open(path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer h.Close()
	return model.Netns{Path: path, Inode: h.Inode()}
}

func (l *lab) kill(ns model.Netns) {
	l.t.Helper()
	if err := netns.Unpin(ns.Path); err != nil {
		l.t.Error(err)
	}
}

// jam has the path of a pod's namespace lead nowhere that can be told, while the
// namespace lives on.
func (l *lab) jam(ns model.Netns) (free func()) {
	l.t.Helper()
	h, err := netns.OpenExact(ns)
	if err != nil {
		l.t.Fatal(err)
	}
	l.kill(ns)
	if err := os.Symlink(filepath.Base(ns.Path), ns.Path); err != nil { // to itself
		l.t.Fatal(err)
	}
	return func() {
		l.t.Helper()
		held := fmt.Sprintf("/proc/self/fd/%d", h.FD())
		if err := errors.Join(os.Remove(ns.Path), os.WriteFile(ns.Path, nil, 0o444),
			unix.Mount(held, ns.Path, "", unix.MS_BIND, ""), h.Close()); err != nil {
			l.t.Fatal(err)
		}
	}
}

// in gives a netlink socket in a pod.
func (l *lab) in(ns model.Netns) *nl.Handle {
	l.t.Helper()
	h, err := netns.OpenExact(ns)
	if err != nil {
		l.t.Fatal(err)
	}
	defer h.Close()
	handle, err := nl.Open(h)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(handle.Close)
	return handle
}

// occupy makes a bridge of the name: nothing that polynic makes in pods.
func (l *lab) occupy(ns model.Netns, name string) {
	l.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := l.in(ns).LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) occupied(ns model.Netns, name string) bool {
	link, err := l.in(ns).LinkByName(name)
	return err == nil && link.Type() == "bridge"
}

func TestContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		t.Helper()
		l := newLab(t)
		return drivertest.Harness{
			Open:     func() (dataplane.Driver, error) { return l.open() },
			Pod:      l.pod,
			Folder:   t.TempDir,
			Kill:     l.kill,
			Jam:      l.jam,
			Occupy:   l.occupy,
			Occupied: l.occupied,
		}
	})
}
