// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/memif"
)

// TestMemifCarriesTCP, and the state says who is connected and what was moved.
func TestMemifCarriesTCP(t *testing.T) {
	c := newContainer(t)
	if s := c.memifState(t, c.port.ID); s.Application != nil || !s.Attached {
		t.Errorf("state before anybody connects: %+v", s)
	}
	c.kernel(t, c.dial(t, 0))
	c.pod.Ping(t, twinV4)
	const size = 8 << 20
	relaytest.Transfer(t, c.pod, c.network, twinV4, size)
	relaytest.Transfer(t, c.network, c.pod, podV6, size)
	s := c.memifState(t, c.port.ID)
	app := model.MemifApplication{
		PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid(), Name: "app", Interface: "if", RxQueues: 1, TxQueues: 1, RingSize: 1024,
	}
	if diff := cmp.Diff(&app, s.Application); diff != "" {
		t.Errorf("application (-want +got):\n%s", diff)
	}
	if s.RxBytes < size || s.TxBytes < size || s.RxPackets < 2*s.TwinTx || s.TxPackets < 2*s.TwinRx {
		t.Errorf("counters %+v", s)
	}
	want := c.port
	want.Secret = ""
	if diff := cmp.Diff(want, s.MemifPort, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("port (-want +got):\n%s", diff)
	}
}

// TestMemifAttachAgain leaves an application alone whose memif stays the same, or
// goes elsewhere, and no other.
func TestMemifAttachAgain(t *testing.T) {
	c := newContainer(t)
	slave := c.dial(t, 0)
	conn := connected(t, slave)
	c.attachMemifs(t, c.port)
	other := c.port
	other.Twin.Name, other.LinkLocal = "twin2", netip.MustParseAddr("fe80::1")
	c.attachMemifs(t, other)
	if c.network.Carrier(t, "twin1") || !c.network.Has(t, "twin2") {
		t.Error("the twins did not change their places")
	}
	nowhere := c.memif(c.port.ID, 0)
	c.attachMemifs(t, nowhere)
	c.attachMemifs(t, c.port)
	c.network.Up(t, "twin1")
	if err := conn.Err(); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
	c.port.MTU = 9000
	c.attachMemifs(t, c.port)
	<-conn.Done()
	connected(t, slave)
	if s := c.memifState(t, c.port.ID); s.MTU != 9000 || c.records(t) != 1 {
		t.Errorf("state %+v, %d records", s, c.records(t))
	}
}

// TestMemifSocketIsMadeAgain, with all its memifs, whatever order they are
// attached in.
func TestMemifSocketIsMadeAgain(t *testing.T) {
	c := newContainer(t)
	second := c.memif("pod/memif2", 1)
	c.attachMemifs(t, second)
	for range 2 {
		if err := os.Remove(c.socket()); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{c.port.ID, second.ID} {
			if s := c.memifState(t, id); s.Attached || !strings.Contains(s.Reason, "the socket's file is gone") {
				t.Errorf("state %+v, want the socket missed", s)
			}
		}
		c.attachMemifs(t, second, c.port)
		for number := range uint32(2) {
			i := c.dial(t, number)
			connected(t, i)
			_ = i.Close() // or it would come to the next socket, too
		}
	}
}

// TestMemifsAreCrossed: two containers' applications reach each other once both
// ports name each other, whoever comes first; and keep their connections when
// that ends.
func TestMemifsAreCrossed(t *testing.T) {
	c := newContainer(t)
	a, b := c.memif("a", 1), c.memif("b", 2)
	c.attachMemifs(t, a, b)
	first, second := c.dial(t, 1), c.dial(t, 2)
	connections := []*memif.Conn{connected(t, first), connected(t, second)}
	packet := bytes.Repeat([]byte("polynic "), 100)
	send := func(from, to *memif.Interface) {
		t.Helper()
		if _, err := from.Write(soon(t), packet); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, memif.MaxPacket)
		n, err := to.Read(soon(t), got)
		if err != nil || !bytes.Equal(got[:n], packet) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	a.Peer, b.Peer = "b", "a"
	for range 3 {
		c.attachMemifs(t, a)
		if _, err := first.Write(soon(t), packet); err != nil { // waits for the other
			t.Fatal(err)
		}
		c.attachMemifs(t, b)
		if _, err := second.Read(soon(t), make([]byte, memif.MaxPacket)); err != nil {
			t.Fatal(err)
		}
		send(first, second)
		send(second, first)
		c.attachMemifs(t, c.memif("b", 2), c.memif("a", 1))
	}
	for _, conn := range connections {
		if err := conn.Err(); err != nil {
			t.Errorf("a connection ended: %v", err)
		}
	}
	c.attachMemifs(t, a, b)
	if err := c.client.Detach(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	<-connections[0].Done()
	c.attachMemifs(t, a)
	connected(t, first)
	send(second, first)
}

// TestNextRelayBringsMemifsBack: twins, a crossing, and the applications come by
// themselves.
func TestNextRelayBringsMemifsBack(t *testing.T) {
	c := newContainer(t)
	a, b := c.memif("a", 1), c.memif("b", 2)
	a.Peer, b.Peer = "b", "a"
	c.attachMemifs(t, a, b)
	c.kernel(t, c.dial(t, 0))
	first, second := c.dial(t, 1), c.dial(t, 2)
	c.pod.Ping(t, twinV4)
	for range 2 {
		c.stop()
		c.running = startRelay(t, c.cfg.StateDir)
		relaytest.Eventually(t, "the application is back", 20*time.Second, func() bool {
			return c.memifState(t, c.port.ID).Application != nil
		})
		c.pod.Ping(t, twinV4)
		c.network.Ping(t, podV6)
		connected(t, first)
		connected(t, second)
		if _, err := first.Write(soon(t), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Read(soon(t), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemifsWhosePlacesAreGone are forgotten, not made again.
func TestMemifsWhosePlacesAreGone(t *testing.T) {
	c := newContainer(t)
	gone := c.memif("gone", 0)
	gone.Socket.Folder = filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(gone.Socket.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	c.attachMemifs(t, gone)
	c.stop()
	if err := errors.Join(os.RemoveAll(gone.Socket.Folder), c.network.NL.LinkDel(c.network.Device(t, "twin1"))); err != nil {
		t.Fatal(err)
	}
	c.running = startRelay(t, c.cfg.StateDir)
	if ports, err := c.client.ListMemifs(t.Context()); err != nil || len(ports) != 0 || c.records(t) != 0 {
		t.Errorf("ports %+v, %v, %d records; want none", ports, err, c.records(t))
	}
	if files, err := os.ReadDir(c.folder); err != nil || len(files) != 0 {
		t.Errorf("left in the folder: %v, %v", files, err)
	}
}

func TestMemifFails(t *testing.T) {
	c := newContainer(t)
	events := c.watch(t)
	conn := connected(t, c.dial(t, 0))
	if err := c.network.NL.LinkDel(c.network.Device(t, "twin1")); err != nil {
		t.Fatal(err)
	}
	e := expect(t, events, relayapi.EventPortFailed)
	want := "twin1 in " + c.network.Path + ": the device is gone"
	if s := c.memifState(t, c.port.ID); e.ID != c.port.ID || e.Reason != want || s.Attached || s.Reason != want {
		t.Errorf("event %+v, state %+v, want %q", e, s, want)
	}
	<-conn.Done()
	c.attachMemifs(t, c.port)
	c.network.Up(t, "twin1")
}

func TestMemifAttachSaysWhatIsWrong(t *testing.T) {
	c := newContainer(t)
	if err := os.Mkdir(filepath.Join(c.folder, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*relayapi.MemifPort){
		"the folder for the socket is gone: folder /no/such: no such file": func(p *relayapi.MemifPort) { p.Socket.Folder = "/no/such" },
		"other ports share it":          func(p *relayapi.MemifPort) { p.Socket.RingSize = 2 },
		"memif 0: another port has":     func(p *relayapi.MemifPort) { p.Memif = 0 },
		"is a directory":                func(p *relayapi.MemifPort) { p.Socket.Name = "taken" },
		"network namespace is gone":     func(p *relayapi.MemifPort) { p.Socket.Pod.Path = "/no/such" },
		"has it open":                   func(p *relayapi.MemifPort) { p.Twin = c.network.Link("twin1"); p.Queues = 1 },
		"a device of type device":       func(p *relayapi.MemifPort) { p.Twin = c.network.Link("lo"); p.Queues = 1 },
		"clean absolute path":           func(p *relayapi.MemifPort) { p.Socket.Folder = "here" },
		"must be a file name":           func(p *relayapi.MemifPort) { p.Socket.Name = "../memif.sock" },
		"0 queues: must be 1 to 256":    func(p *relayapi.MemifPort) { p.Twin = c.network.Link("twin3") },
		"needs the MAC of both":         func(p *relayapi.MemifPort) { p.Twin = c.network.Link("twin3"); p.Queues, p.Mode = 1, "ip" },
		`mode "punt": must be`:          func(p *relayapi.MemifPort) { p.Mode = "punt" },
		"must be a power of 2":          func(p *relayapi.MemifPort) { p.Socket.RingSize = 1000 },
		"MTU 10: must be":               func(p *relayapi.MemifPort) { p.MTU = 10 },
		"link-local address fd00::1: m": func(p *relayapi.MemifPort) { p.LinkLocal = netip.MustParseAddr("fd00::1") },
		"it cannot be its own peer":     func(p *relayapi.MemifPort) { p.Peer = p.ID },
		"must be one of them":           func(p *relayapi.MemifPort) { p.Peer = "x"; p.Twin = c.network.Link("twin3"); p.Queues = 1 },
		"the secret has 24 bytes":       func(p *relayapi.MemifPort) { p.Secret = "secretsecretsecretsecret" },
		"0 queue pairs: must be 1 to ":  func(p *relayapi.MemifPort) { p.Socket.QueuePairs = 0 },
	} {
		t.Run(want, func(t *testing.T) {
			port := c.memif("p", 1)
			change(&port)
			err := c.client.AttachMemifs(t.Context(), []relayapi.MemifPort{port})[0]
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error %v, want %q", err, want)
			}
			if strings.Contains(err.Error(), string(port.Secret)) {
				t.Errorf("the secret is in %q", err)
			}
			if strings.Contains(want, "is gone") && !errors.Is(err, relayapi.ErrFolderGone) && !errors.Is(err, relayapi.ErrNetnsGone) {
				t.Errorf("%v is of no kind", err)
			}
		})
	}
	if c.records(t) != 1 {
		t.Errorf("%d records", c.records(t))
	}
	connected(t, c.dial(t, 0)) // nothing was the matter with the first
}
