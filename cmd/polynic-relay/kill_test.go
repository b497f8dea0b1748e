// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/test/busy"
	"github.com/polynic/polynic/test/need"
)

const podAddr, twinAddr = "10.78.0.2", "10.78.0.1"

// TestTrafficSurvivesKilledWorkers: nobody but the relay itself is there to
// bring the traffic back.
func TestTrafficSurvivesKilledWorkers(t *testing.T) {
	pod, own := newSpace(t), newSpace(t)
	p := start(t, own.Handle)
	for i, queues := range []int{1, 4} {
		port := relayapi.TapPort{
			ID: fmt.Sprint(i), Pod: pod.Link(fmt.Sprint("tap", i)), Twin: relayapi.Link{Name: fmt.Sprint("twin", i)}, Queues: queues,
		}
		if err := p.client.Attach(t.Context(), []relayapi.TapPort{port})[0]; err != nil {
			t.Fatal(err)
		}
		pod.Up(t, port.Pod.Name)
		own.Up(t, port.Twin.Name)
	}
	p.client.Close()
	pod.Address(t, "tap0", podAddr, twinAddr)
	own.Address(t, "twin0", twinAddr, podAddr)
	neighbor(t, pod, "tap0", twinAddr, own.Device(t, "twin0").Attrs().HardwareAddr)
	neighbor(t, own, "twin0", podAddr, pod.Device(t, "tap0").Attrs().HardwareAddr)
	conn := echo(t, own, pod)
	exchange(t, conn)
	before := configuration(t, pod) + configuration(t, own)
	for i := range 3 {
		worker := p.worker(t)
		begin := time.Now()
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		exchange(t, conn)
		took := time.Since(begin)
		t.Logf("kill %d: an answer over the same TCP connection after %v", i, took)
		if took > busy.Stretch(500*time.Millisecond) {
			t.Errorf("traffic came back after %v, want 500ms at most", took)
		}
		if p.worker(t) == worker {
			t.Errorf("worker %d was not replaced", worker)
		}
	}
	if diff := cmp.Diff(before, configuration(t, pod)+configuration(t, own)); diff != "" {
		t.Errorf("configuration (-before +after):\n%s", diff)
	}
	if !pod.Carrier(t, "tap1") || !own.Carrier(t, "twin1") {
		t.Error("the port with several queues was not attached again")
	}
}

func neighbor(t *testing.T, s *relaytest.Space, name, addr string, mac net.HardwareAddr) {
	t.Helper()
	err := s.NL.NeighSet(&netlink.Neigh{
		LinkIndex: s.Device(t, name).Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(addr), HardwareAddr: mac,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// echo gives a connection from one namespace to an echo server in the other.
func echo(t *testing.T, client, server *relaytest.Space) net.Conn {
	t.Helper()
	var listener net.Listener
	err := server.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(podAddr, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		_ = listener.Close()
		if err == nil {
			_, err = io.Copy(conn, conn)
			_ = conn.Close()
		}
		served <- err
	}()
	var conn net.Conn
	err = client.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", listener.Addr().String())
		return err
	})
	if err != nil {
		_ = listener.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if err := <-served; err != nil {
			t.Errorf("echo: %v", err)
		}
	})
	return conn
}

// exchange sends a line and waits for it to come back.
func exchange(t *testing.T, conn net.Conn) {
	t.Helper()
	want := []byte("still here\n")
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// configuration is what a pod's owner sees and must find unchanged.
func configuration(t *testing.T, s *relaytest.Space) string {
	t.Helper()
	ip := need.Command(t, need.Kernel, "ip")
	var text strings.Builder
	for _, show := range []string{"-4 address show", "-6 address show", "link show", "-4 route", "-6 route", "neighbor show nud permanent"} {
		err := s.Do(func() error {
			out, err := exec.CommandContext(t.Context(), ip, append([]string{"-o"}, strings.Fields(show)...)...).CombinedOutput()
			text.Write(out)
			return err
		})
		if err != nil {
			t.Fatalf("ip %s: %v", show, err)
		}
	}
	// operstate is UNKNOWN before a tap's file was opened again, and UP after; and the
	// kernel tries out its own address of a link for the first second or two.
	return strings.NewReplacer("state UNKNOWN", "state UP", " tentative", "").Replace(text.String())
}
