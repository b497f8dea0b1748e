// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// start serves verbs until the test ends, or until stop, which waits for Run.
func start(t *testing.T, cfg cniserver.Config, verbs cniserver.Verbs) (socket string, stop func()) {
	t.Helper()
	cfg.Socket = filepath.Join(t.TempDir(), "cni.sock")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Bounds == (cniserver.Bounds{}) {
		cfg.Bounds = cniserver.DefaultBounds()
	}
	server, err := cniserver.Listen(t.Context(), cfg, verbs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	}
	t.Cleanup(stop)
	return cfg.Socket, stop
}

// begin sends a request and leaves the reply to be read.
func begin(ctx context.Context, socket string, r cniwire.Request) (net.Conn, error) {
	message, err := cniwire.AppendRequest(nil, r)
	if err != nil {
		return nil, err
	}
	conn, err := unixsock.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	_, err = conn.Write(message)
	return conn, errors.Join(err, conn.SetReadDeadline(time.Now().Add(patience)))
}

// exchange is a whole request, for goroutines.
func exchange(ctx context.Context, socket string, r cniwire.Request) (cniwire.Reply, error) {
	conn, err := begin(ctx, socket, r)
	if err != nil {
		return cniwire.Reply{}, err
	}
	defer conn.Close()
	return cniwire.ReadReply(conn)
}

func send(t *testing.T, socket string, r cniwire.Request) net.Conn {
	t.Helper()
	conn, err := begin(t.Context(), socket, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receive(t *testing.T, conn net.Conn) cniwire.Reply {
	t.Helper()
	reply, err := cniwire.ReadReply(conn)
	if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	return reply
}

func ask(t *testing.T, socket string, r cniwire.Request) cniwire.Reply {
	t.Helper()
	return receive(t, send(t, socket, r))
}

// sendRaw sends bytes of which the test knows better what they are.
func sendRaw(t *testing.T, socket, message string) net.Conn {
	t.Helper()
	conn, err := unixsock.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// cniError is the CNI error in a reply.
type cniError struct {
	CNIVersion string
	Code       cniwire.Code
	Msg        string
}

func wantError(t *testing.T, reply cniwire.Reply) cniError {
	t.Helper()
	var e cniError
	if err := json.Unmarshal(reply.Stdout, &e); err != nil || reply.Status != 1 || e.Code == 0 || e.Msg == "" {
		t.Fatalf("status %d and %q, want a CNI error (%v)", reply.Status, reply.Stdout, err)
	}
	return e
}

func wantOK(t *testing.T, reply cniwire.Reply) {
	t.Helper()
	if reply.Status != 0 {
		t.Fatalf("status %d: %s", reply.Status, reply.Stdout)
	}
}

// wait waits for something that a verb does.
func wait[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %s", what, patience)
	}
	return v
}

const conf = `{"cniVersion":"1.1.0","name":"net","type":"polynic-cni"}`

func addRequest(container string) cniwire.Request {
	return cniwire.Request{
		Command:     "ADD",
		ContainerID: container,
		Netns:       "/run/netns/" + container,
		IfName:      "eth0",
		Args:        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;K8S_POD_UID=u1;MAC=x",
		Stdin:       []byte(conf),
	}
}

func delRequest(container string) cniwire.Request {
	return cniwire.Request{Command: "DEL", ContainerID: container, IfName: "eth0", Stdin: []byte(conf)}
}
