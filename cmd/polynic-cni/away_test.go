// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/cniwire"
)

// way is one in which an agent does not answer, and what polynic-cni says.
type way struct {
	name string
	set  func()
	says string
}

func waysToBeAway(t *testing.T, n node) []way {
	t.Helper()
	return []way{
		{"no socket", func() {}, "no such file or directory; is it running?"},
		{"nobody listens", func() { leaveSocket(t, n) }, "connection refused; is it running?"},
		{"a file instead", func() { writeFile(t, n.socket, "") }, "connection refused"},
		{
			"closes at once",
			func() { n.listen(t, func(net.Conn) {}) },
			"", // its close may come before, within or after our request
		},
		{
			"closes after the request",
			func() { n.listen(t, func(c net.Conn) { readRequest(t, c) }) },
			"it closed the connection without a reply",
		},
		{
			"closes in its reply",
			func() { n.listen(t, answering(t, "pncr\x00\x01\x00\x00\x00\x09\x00{\"cni")) },
			"it closed the connection without a reply",
		},
		{
			"other protocol",
			func() { n.listen(t, answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n")) },
			"not a message of polynic's CNI protocol",
		},
		{
			"other version",
			func() { n.listen(t, answering(t, "pncr\x00\x02\x00\x00\x00\x00")) },
			"speaks protocol version 2 and this polynic-cni version 1",
		},
	}
}

func TestAgentAway(t *testing.T) {
	for i, way := range waysToBeAway(t, node{}) {
		t.Run(way.name, func(t *testing.T) {
			n := newNode(t)
			waysToBeAway(t, n)[i].set()
			for _, env := range []string{addEnv, checkEnv, gcEnv} {
				msg := wantError(t, plugin(t, env, n.conf()), cniwire.CodeTryAgainLater)
				if !strings.Contains(msg, "polynic-agent") || !strings.Contains(msg, n.socket) || !strings.Contains(msg, way.says) {
					t.Errorf("%s says %q", env, msg)
				}
			}
			wantError(t, plugin(t, statusEnv, n.conf()), cniwire.CodeNotAvailable)
			wantTombstone(t, n, plugin(t, delEnv, n.conf()))
		})
	}
}

// waysToHang are those of an agent that takes the connection and says nothing,
// as one that is stopped.
func waysToHang(t *testing.T, n node) []way {
	t.Helper()
	const says = "nothing came in time"
	wait := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	return []way{
		{"before it accepts", func() { listenRaw(t, n, unix.SOMAXCONN) }, says},
		{"backlog full", func() { listenRaw(t, n, 0); fillBacklog(t, n) }, says},
		{"after the request", func() { n.listen(t, wait) }, says},
		{"in its reply", func() {
			begin := answering(t, "pncr\x00\x01\x00\x00\x00\x09\x00{")
			n.listen(t, func(c net.Conn) { begin(c); wait(c) })
		}, says},
	}
}

func TestAgentHangs(t *testing.T) {
	for i, way := range waysToHang(t, node{}) {
		t.Run(way.name, func(t *testing.T) {
			n := newNode(t)
			waysToHang(t, n)[i].set()
			wantTombstone(t, n, withinASecond(t, func() finished { return plugin(t, delEnv, n.conf()) }))
			status := withinASecond(t, func() finished { return plugin(t, statusEnv, n.conf()) })
			if msg := wantError(t, status, cniwire.CodeNotAvailable); !strings.Contains(msg, way.says) {
				t.Errorf("STATUS says %q", msg)
			}
		})
	}
}

// An agent of another version answers before it has read the request, and
// leaves most of it unread.
func TestOtherVersionAnswersBigRequest(t *testing.T) {
	n := newNode(t)
	n.listen(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(c, "pncr\x00\x02\x00\x00\x00\x00"); err != nil {
			t.Error(err)
		}
	})
	msg := wantError(t, plugin(t, addEnv, bigConf(n, cniwire.MaxStdin)), cniwire.CodeTryAgainLater)
	if !strings.Contains(msg, "version 2") {
		t.Errorf("it says %q", msg)
	}
}

// withinASecond wants a run that ends within a second by itself; a run that the
// machine had no time for is made again.
func withinASecond(t *testing.T, run func() finished) finished {
	t.Helper()
	var took []time.Duration
	for range 5 {
		result := run()
		if result.took < time.Second {
			return result
		}
		took = append(took, result.took)
	}
	t.Fatalf("no run ended within a second: %v", took)
	return finished{}
}

// wantTombstone wants a DEL that succeeded and left the one file that it
// should.
func wantTombstone(t *testing.T, n node, run finished) {
	t.Helper()
	wantOK(t, run)
	folder := filepath.Join(n.state, cniwire.TombstoneDir)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != cniwire.TombstoneName("c1", "eth0") {
		t.Fatalf("tombstones: %v", entries)
	}
	content, err := os.ReadFile(filepath.Join(folder, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cniwire.ParseTombstone(content)
	want := cniwire.Tombstone{ContainerID: "c1", IfName: "eth0", Network: "net"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for path, mode := range map[string]os.FileMode{n.state: 0o700, folder: 0o700, filepath.Join(folder, entries[0].Name()): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %o", path, st.Mode(), err, mode)
		}
	}
}

func readRequest(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := cniwire.ReadRequest(c); err != nil {
		t.Error(err)
	}
}

// answering reads a request and answers bytes.
func answering(t *testing.T, bytes string) func(net.Conn) {
	t.Helper()
	return func(c net.Conn) {
		readRequest(t, c)
		if _, err := io.WriteString(c, bytes); err != nil {
			t.Error(err)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listenRaw listens and never accepts, until the test ends.
func listenRaw(t *testing.T, n node, backlog int) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: n.socket}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	return fd
}

// leaveSocket leaves what an agent leaves that was killed.
func leaveSocket(t *testing.T, n node) {
	t.Helper()
	unix.Close(listenRaw(t, n, 0))
}

func fillBacklog(t *testing.T, n node) {
	t.Helper()
	for {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: n.socket})
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
