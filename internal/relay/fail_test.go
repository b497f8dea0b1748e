// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/test/need"
)

// watch gives the relay's events until the test ends, and has seen the first,
// which says that the relay is there.
func (r *running) watch(t testing.TB) <-chan relayapi.Event {
	t.Helper()
	events := make(chan relayapi.Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.client.Watch(ctx, func(e relayapi.Event) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	expect(t, events, relayapi.EventConnected)
	return events
}

func expect(t testing.TB, events <-chan relayapi.Event, kind relayapi.EventKind) relayapi.Event {
	t.Helper()
	select {
	case e := <-events:
		if e.Kind != kind {
			t.Fatalf("event %+v, want %s", e, kind)
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatalf("no event, want %s", kind)
		return relayapi.Event{}
	}
}

func TestDeviceVanishes(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprint(queues, " queues"), func(t *testing.T) {
			w := newWire(t, queues)
			events := w.watch(t)
			if err := w.pod.NL.LinkDel(w.pod.Device(t, "tap1")); err != nil {
				t.Fatal(err)
			}
			e := expect(t, events, relayapi.EventPortFailed)
			want := "tap1 in " + w.pod.Path + ": the device is gone"
			if e.ID != w.port.ID || e.Reason != want {
				t.Errorf("event %+v, want reason %q", e, want)
			}
			if s := w.state(t, w.port.ID); s.Attached || s.Reason != want {
				t.Errorf("state %+v, want reason %q", s, want)
			}
			if w.network.Carrier(t, "twin1") || w.records(t) != 0 {
				t.Error("the twin's file is still open, or the port is still recorded")
			}
			w.attach(t, w.port)
			w.pod.Up(t, "tap1")
			w.pod.Address(t, "tap1", podV4, twinV4)
			w.pod.Ping(t, twinV4)
		})
	}
}

func TestNamespaceIsUnpinned(t *testing.T) {
	w := newWire(t, 1)
	events := w.watch(t)
	canary(t, w.pod, w.network)
	if err := netns.Unpin(w.pod.Path); err != nil {
		t.Fatal(err)
	}
	w.pod.LetGo()
	begin := time.Now()
	e := expect(t, events, relayapi.EventPortFailed)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("noticed after %v", took)
	}
	want := "tap1: network namespace " + w.pod.Path + ": network namespace is gone: no such file or directory"
	if e.Reason != want {
		t.Errorf("reason %q, want %q", e.Reason, want)
	}
	dies(t, w.network)
	err := w.client.Attach(t.Context(), []relayapi.TapPort{w.port})[0]
	if !errors.Is(err, relayapi.ErrNetnsGone) {
		t.Errorf("attach: %v, want ErrNetnsGone", err)
	}
}

func TestPathGetsAnotherNamespace(t *testing.T) {
	w := newWire(t, 1)
	events := w.watch(t)
	canary(t, w.pod, w.network)
	next := filepath.Join(t.TempDir(), "next")
	if err := errors.Join(netns.Pin(next), syscall.Mount(next, w.pod.Path, "", syscall.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(syscall.Unmount(w.pod.Path, 0), netns.Unpin(next)); err != nil {
			t.Error(err)
		}
	})
	// A mount on top raises no event: this is what the recheck is for.
	e := expect(t, events, relayapi.EventPortFailed)
	if !strings.Contains(e.Reason, "the path leads to something else now") {
		t.Errorf("reason %q", e.Reason)
	}
}

func TestNamespaceOfAProcess(t *testing.T) {
	need.Tun(t)
	network := newSpace(t)
	r := startRelay(t, t.TempDir())
	events := r.watch(t)
	process := exec.CommandContext(t.Context(), "sleep", "60")
	process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/ns/net", process.Process.Pid)
	handle, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	pod := &relaytest.Space{Path: path, Handle: handle}
	canary(t, pod, network)
	r.attach(t, relayapi.TapPort{ID: "p", Pod: relayapi.Link{Netns: path, Name: "tap1"}, Twin: network.Link("twin1"), Queues: 1})
	if err := handle.Close(); err != nil {
		t.Error(err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	e := expect(t, events, relayapi.EventPortFailed)
	if !strings.Contains(e.Reason, path+": network namespace is gone") {
		t.Errorf("reason %q", e.Reason)
	}
	dies(t, network)
}

// canary is a veth pair whose outer end lives exactly as long as the inner
// namespace.
func canary(t testing.TB, inner, outer *relaytest.Space) {
	t.Helper()
	err := outer.NL.LinkAdd(&netlink.Veth{LinkAttrs: named("canary"), PeerName: "inside", PeerNamespace: netlink.NsFd(inner.FD())})
	if err != nil {
		t.Fatal(err)
	}
}

func dies(t testing.TB, outer *relaytest.Space) {
	t.Helper()
	// The kernel takes namespaces apart one after the other, also those of others.
	relaytest.Eventually(t, "the namespace dies", 30*time.Second, func() bool { return !outer.Has(t, "canary") })
}
