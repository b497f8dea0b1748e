// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"
	"go.fd.io/govpp/binapi/memif"
	"go.fd.io/govpp/binapi/vpe"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
)

func loopback(instance uint32) *interfaces.CreateLoopbackInstance {
	return &interfaces.CreateLoopbackInstance{IsSpecified: true, UserInstance: instance}
}

func TestKill(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := vpptest.Start(t, vpptest.Config{})
	defer s.Kill()
	peer := vpptest.Dial(t, s.Socket)
	vpptest.Do[interfaces.CreateLoopbackInstanceReply](peer, loopback(1))
	conn, err := net.Dial("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.Kill()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection to a VPP that was killed: %v", err)
	}
	if _, err := net.Dial("unix", s.Socket); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a VPP that was killed: %v", err)
	}
	s.Restart()
	vpptest.Do[interfaces.CreateLoopbackInstanceReply](vpptest.Dial(t, s.Socket), loopback(1)) // it is empty
}

func TestHang(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := vpptest.Start(t, vpptest.Config{})
	defer s.Kill()
	peer := vpptest.Dial(t, s.Socket)
	s.Hang()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		vpptest.Ask[interfaces.CreateLoopbackInstanceReply](peer, loopback(1))
	}()
	select {
	case <-answered:
		t.Error("a VPP that hangs answers")
	case <-time.After(50 * time.Millisecond):
	}
	s.Unhang()
	<-answered
	s.Hang() // and to be killed with a client that waits
	conn, err := net.Dial("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
}

func TestFailCall(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	peer := vpptest.Dial(t, s.Socket)
	s.FailCall("create_loopback_instance", 2, api.INVALID_MEMORY_SIZE)
	s.FailCall("create_loopback_instance", 3, api.BUSY)
	var got []int32
	for instance := range uint32(4) {
		got = append(got, vpptest.Ask[interfaces.CreateLoopbackInstanceReply](peer, loopback(instance)).Retval)
	}
	if want := [4]int32{0, int32(api.INVALID_MEMORY_SIZE), int32(api.BUSY), 0}; [4]int32(got) != want {
		t.Errorf("calls were answered by %v, want %v", got, want)
	}
	all := vpptest.List[interfaces.SwInterfaceDetails](peer, &interfaces.SwInterfaceDump{})
	if len(all) != 3 || all[1].InterfaceName != "loop0" || all[2].InterfaceName != "loop3" {
		t.Errorf("interfaces %+v", all)
	}
	if n := s.Calls("create_loopback_instance"); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
}

func TestWithoutMessage(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{Version: "24.02-release"})
	s.WithoutMessage("memif_*", "create_loopback")
	peer := vpptest.Dial(t, s.Socket)
	if peer.Knows(&memif.MemifCreateV2{}) || peer.Knows(&memif.MemifDump{}) || peer.Knows(&interfaces.CreateLoopback{}) {
		t.Errorf("messages are known that should not be")
	}
	vpptest.Do[interfaces.CreateLoopbackInstanceReply](peer, loopback(1))
	if v := vpptest.Do[vpe.ShowVersionReply](peer, &vpe.ShowVersion{}).Version; v != "24.02-release" {
		t.Errorf("version %q", v)
	}
	s.WithoutMessage()
	s.SetVersion("26.06-release")
	if !vpptest.Dial(t, s.Socket).Knows(&memif.MemifCreateV2{}) {
		t.Errorf("a message is not known that should be")
	}
	s.Restart()
	if v := vpptest.Do[vpe.ShowVersionReply](vpptest.Dial(t, s.Socket), &vpe.ShowVersion{}).Version; v != "26.06-release" {
		t.Errorf("version %q", v)
	}
}

func TestConnect(t *testing.T) {
	s := vpptest.Start(t, vpptest.Config{})
	peer := vpptest.Dial(t, s.Socket)
	dir := filepath.Dir(s.Socket)
	socket := &memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: 1, SocketFilename: dir + "/m"}
	vpptest.Do[memif.MemifSocketFilenameAddDelV2Reply](peer, socket)
	index := vpptest.Do[memif.MemifCreateV2Reply](peer, &memif.MemifCreateV2{SocketID: 1, RingSize: 512}).SwIfIndex
	vpptest.Do[interfaces.WantInterfaceEventsReply](peer, &interfaces.WantInterfaceEvents{EnableDisable: 1})
	vpptest.Do[interfaces.SwInterfaceSetFlagsReply](peer, &interfaces.SwInterfaceSetFlags{SwIfIndex: index, Flags: 1})
	peer.Events(1)
	for _, c := range []struct {
		state vpptest.LinkState
		flags interface_types.IfStatusFlags
		ring  uint32
	}{{vpptest.Up, 3, 512}, {vpptest.Down, 1, 1}} {
		if err := s.Connect(uint32(index), c.state); err != nil {
			t.Fatal(err)
		}
		if e := peer.Events(1); e[0].SwIfIndex != index || e[0].Flags != c.flags {
			t.Errorf("%s: event %+v", c.state, e)
		}
		if d := vpptest.List[memif.MemifDetails](peer, &memif.MemifDump{}); d[0].Flags != c.flags || d[0].RingSize != c.ring {
			t.Errorf("%s: %+v", c.state, d)
		}
	}
	if err := s.Connect(0, vpptest.Up); err == nil {
		t.Errorf("local0 was taken for a memif")
	}
	// Killed, VPP leaves its sockets behind, and takes them up again.
	s.Restart()
	if _, err := os.Stat(dir + "/m"); err != nil {
		t.Error(err)
	}
	peer = vpptest.Dial(t, s.Socket)
	vpptest.Do[memif.MemifSocketFilenameAddDelV2Reply](peer, socket)
	vpptest.Do[memif.MemifCreateV2Reply](peer, &memif.MemifCreateV2{SocketID: 1})
}

// FuzzFrames sends what no client sends; the server goes on for others.
func FuzzFrames(f *testing.F) {
	s := vpptest.Start(f, vpptest.Config{})
	frame := func(data ...byte) []byte {
		b := make([]byte, 16)
		binary.BigEndian.PutUint32(b[8:], uint32(len(data)))
		return append(b, data...)
	}
	hello := frame(append([]byte{0, 15, 0, 0, 0, 1}, make([]byte, 64)...)...)
	f.Add(hello)
	f.Add(append(hello, frame(0, 110, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)...))
	f.Add(frame())
	f.Add(append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("unix", s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(data) // it may hang up
		_ = conn.Close()
		vpptest.Do[vpe.ShowVersionReply](vpptest.Dial(t, s.Socket), &vpe.ShowVersion{})
	})
}
