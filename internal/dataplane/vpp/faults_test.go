// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.fd.io/govpp/api"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
)

// writes are the messages that change something for a port.
func writes() []string {
	return []string{
		"af_packet_create_v3", "memif_socket_filename_add_del_v2", "memif_create_v2", "sw_interface_tag_add_del",
		"sw_interface_set_table", "sw_interface_set_unnumbered", "sw_interface_set_mtu", "sw_interface_set_flags",
		"urpf_update_v2", "ip_route_add_del", "ip_neighbor_add_del",
	}
}

func allWrites(s *vpptest.Server) int {
	n := 0
	for _, message := range append(writes(), "create_loopback", "ip_table_add_del", "sw_interface_add_del_address", "af_packet_delete", "memif_delete") {
		n += s.Calls(message)
	}
	return n
}

// Whatever step VPP refuses, the pod hears VPP's own words, and nothing of it stays.
func TestRefusedSteps(t *testing.T) {
	w, s := onServer(t)
	before, err := w.driver.Observe(t.Context(), dataplane.Scope{Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, message := range writes() {
		for _, call := range []int{1, 2} {
			a := w.attachment(2*i + call)
			objects, err := w.node.Attachment(a)
			if err != nil {
				t.Fatal(err)
			}
			if message == "memif_socket_filename_add_del_v2" && call == 2 {
				continue // it is called once
			}
			wanted := desired.NewSet(objects...)
			s.FailCall(message, call, api.TABLE_TOO_BIG)
			err = w.change(a.ID, desired.Diff(nil, wanted))
			if !errors.Is(err, api.TABLE_TOO_BIG) || !strings.Contains(err.Error(), message) {
				t.Errorf("call %d of %s was refused: error %v", call, message, err)
			}
			w.reopen() // what an agent remembers is not what it goes by
			if err := w.change(a.ID, desired.Diff(wanted, nil)); err != nil {
				t.Errorf("after %s: %v", message, err)
			}
			if _, err := w.driver.Reap(t.Context()); err != nil {
				t.Error(err)
			}
			left, err := w.driver.Observe(t.Context(), dataplane.Scope{Everything: true})
			if err != nil || left.String() != before.String() {
				t.Errorf("after %s: error %v, left:\n%s", message, err, left)
			}
		}
	}
}

// An agent that starts again changes nothing.
func TestRestartWritesNothing(t *testing.T) {
	w, s := onServer(t)
	w.add(1)
	w.add(2)
	before := allWrites(s)
	w.reopen()
	if err := w.repair(); err != nil {
		t.Fatal(err)
	}
	if after := allWrites(s); after != before {
		t.Errorf("%d messages that change something", after-before)
	}
}

// What a port costs is bounded: 8 messages for each family, whatever its type, and 5
// where services are resolved.
func TestMessages(t *testing.T) {
	const families, most, ofServices = 2, 8, 5
	s := vpptest.Start(t, vpptest.Config{})
	countMessages(t, newWired(t, s.Socket, s.Stats), s, families*most)
	s = vpptest.Start(t, vpptest.Config{})
	l := newLab(t, s.Socket, s.Stats)
	l.nodeServices = noServices()
	countMessages(t, newWiredWith(t, l), s, families*most+ofServices)
}

func countMessages(t *testing.T, w *wired, s *vpptest.Server, most int) {
	t.Helper()
	w.add(1)
	a := w.attachment(2)
	for i := range a.Interfaces[:3] {
		one := a
		one.ID.ContainerID = strings.Repeat(string(rune('a'+i)), 64)
		one.Interfaces = a.Interfaces[i : i+1]
		objects, err := w.node.Attachment(one)
		if err != nil {
			t.Fatal(err)
		}
		before := s.AllCalls()
		w.apply(one.ID, objects)
		if n := s.AllCalls() - before; n > most {
			t.Errorf("%s: %d messages", one.Interfaces[0].Type, n)
		}
	}
}

// A VPP that hangs is noticed before a container runtime gives up, and used again.
func TestHang(t *testing.T) {
	w, s := onServer(t)
	w.add(1)
	s.Hang()
	start := time.Now()
	_, err := w.driver.Observe(t.Context(), dataplane.Scope{Want: w.want})
	if took := time.Since(start); !errors.Is(err, dataplane.ErrAway) || took > 10*time.Second {
		t.Errorf("error %v after %s", err, took)
	}
	s.Unhang()
	if diff := w.differs(); diff != "" {
		t.Error(diff)
	}
}

// A VPP that cannot be used is told by its version and what it lacks.
func TestUnusable(t *testing.T) {
	for pattern, want := range map[string]string{
		"memif_*":              "is plugin memif_plugin.so loaded?",
		"af_packet_create_v3":  "message af_packet_create_v3 is not there",
		"sw_interface_details": "message sw_interface_details is not there",
	} {
		s := vpptest.Start(t, vpptest.Config{Version: "26.06-test"})
		s.WithoutMessage(pattern, pattern+"_*")
		l := newLab(t, s.Socket, s.Stats)
		driver, err := l.open()
		if err != nil {
			t.Fatal(err)
		}
		_, err = driver.Observe(t.Context(), dataplane.Scope{})
		if !errors.Is(err, dataplane.ErrAway) || !strings.Contains(err.Error(), "VPP 26.06-test cannot be used") || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: error %v, want %q", pattern, err, want)
		}
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A pod for which there are no buffers is refused before anything is made.
func TestNoBuffers(t *testing.T) {
	w, s := onServer(t)
	s.SetBuffers("default-numa-0", vpptest.Buffers{Available: 900, Cached: 100, Used: 15384})
	a := w.attachment(1)
	objects, err := w.node.Attachment(a)
	if err != nil {
		t.Fatal(err)
	}
	before := allWrites(s)
	err = w.change(a.ID, desired.Diff(nil, desired.NewSet(objects...)))
	if err == nil || !strings.Contains(err.Error(), "1000 buffers free of 16384, and 5 more interfaces need 1280") {
		t.Errorf("error %v", err)
	}
	if after := allWrites(s); after != before {
		t.Errorf("%d messages that change something", after-before)
	}
	if _, err := w.In(a.Netns).LinkByName("eth0"); err == nil {
		t.Error("the pod got eth0")
	}
}
