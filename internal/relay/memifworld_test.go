// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

const secret = "bcdfghjklmnpqrstvwxz"

var (
	appMAC  = model.MAC{2, 0, 0, 0, 0, 2}
	twinMAC = model.MAC{2, 0, 0, 0, 0, 1}
)

// container is a container with a memif: its folder, its pod's namespace and
// the network's.
type container struct {
	*running
	folder       string
	pod, network *relaytest.Space
	port         relayapi.MemifPort
}

// newContainer attaches a memif with a twin that has addresses.
func newContainer(t testing.TB) *container {
	t.Helper()
	c := &container{folder: t.TempDir(), pod: newSpace(t), network: newSpace(t), running: startRelay(t, t.TempDir())}
	c.port = c.memif("pod/memif1", 0)
	c.port.Twin, c.port.Queues = c.network.Link("twin1"), 1
	c.port.Twin.MAC = twinMAC
	c.attachMemifs(t, c.port)
	c.network.Up(t, "twin1")
	c.network.Address(t, "twin1", twinV4, podV4)
	c.network.Address(t, "twin1", twinV6, podV6)
	return c
}

// memif describes a memif of the container that goes nowhere.
func (c *container) memif(id string, number uint32) relayapi.MemifPort {
	return relayapi.MemifPort{
		ID:     id,
		Socket: relayapi.MemifSocket{Folder: c.folder, Name: "memif.sock", QueuePairs: 4, RingSize: 4096},
		Memif:  number, Secret: secret, Mode: relayapi.MemifEthernet, MTU: 1500,
	}
}

func (c *container) socket() string { return filepath.Join(c.folder, "memif.sock") }

func (r *running) attachMemifs(t testing.TB, ports ...relayapi.MemifPort) {
	t.Helper()
	if err := errors.Join(r.client.AttachMemifs(t.Context(), ports)...); err != nil {
		t.Fatal(err)
	}
}

func (r *running) memifState(t testing.TB, id string) relayapi.MemifState {
	t.Helper()
	ports, err := r.client.ListMemifs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("port %s is not listed: %v", id, ports)
	return relayapi.MemifState{}
}

// dial is an application of this process.
func (c *container) dial(t testing.TB, number uint32) *memif.Interface {
	t.Helper()
	i, err := memif.Dial(c.socket(), memif.Config{ID: number, Secret: secret, Application: "app", Name: "if"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func connected(t testing.TB, i *memif.Interface) *memif.Conn {
	t.Helper()
	c, err := i.Connected(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// kernel makes an application's memif an interface of the pod's kernel.
func (c *container) kernel(t testing.TB, i *memif.Interface) {
	t.Helper()
	link := c.pod.Link("app1")
	link.MAC = appMAC
	d, err := tap.Create(link, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- rings.NewTwin(rings.TwinConfig{Interface: i, Queues: d.Queues(), MaxPacket: memif.MaxPacket}).Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Error(err)
		}
	})
	c.pod.Up(t, "app1")
	c.pod.Address(t, "app1", podV4, twinV4)
	c.pod.Address(t, "app1", podV6, twinV6)
}
