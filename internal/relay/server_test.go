// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/unixsock"
	"github.com/polynic/polynic/test/need"
)

// dialRelay connects without a client, once the relay answers.
func dialRelay(t *testing.T) (*running, net.Conn) {
	t.Helper()
	need.Tun(t)
	r := startRelay(t, t.TempDir())
	r.list(t)
	conn, err := unixsock.Dial(t.Context(), r.cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return r, conn
}

func TestServerRefusesWhatItDoesNotKnow(t *testing.T) {
	_, conn := dialRelay(t)
	replies := relayapi.NewReader(conn)
	for line, want := range map[string]string{
		`{"version":1,"id":5,"op":"attach-memif"}`: `this relay does not know the operation "attach-memif"`,
		`{"version":9,"id":5,"op":"list"}`:         "this relay speaks version 1 of its protocol, not 9: upgrade the older side",
	} {
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			t.Fatal(err)
		}
		a, err := replies.Reply()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(relayapi.Reply{Version: 1, ID: 5, Error: &relayapi.Error{Text: want}}, a); diff != "" {
			t.Errorf("reply (-want +got):\n%s", diff)
		}
	}
}

func TestServerCutsOffNonsense(t *testing.T) {
	for name, text := range map[string]string{
		"garbage":  "GET / HTTP/1.1\r\n\r\n",
		"no id":    `{"version":1,"op":"list"}` + "\n",
		"too long": strings.Repeat("x", relayapi.MaxMessage+1),
	} {
		t.Run(name, func(t *testing.T) {
			r, conn := dialRelay(t)
			_, _ = io.WriteString(conn, text) // may be cut off half-way
			if n, err := io.Copy(io.Discard, conn); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes came back, %v", n, err)
			}
			r.list(t) // the others do not notice
		})
	}
}

// TestServerDoesNotWaitForAClientThatDoesNotRead: neither its flood of requests
// nor the events meant for it keep the relay from serving others.
func TestServerDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	r, conn := dialRelay(t)
	request := strings.Repeat(`{"version":1,"id":1,"op":"list"}`+"\n", 1000)
	for taken := 1; taken > 0; { // until everything between is full
		if err := conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		taken, _ = io.WriteString(conn, request)
	}
	pod, network := newSpace(t), newSpace(t)
	port := relayapi.TapPort{ID: "p", Pod: pod.Link("tap1"), Twin: network.Link("twin1"), Queues: 1}
	events := r.watch(t)
	r.attach(t, port)
	if err := pod.NL.LinkDel(pod.Device(t, "tap1")); err != nil {
		t.Fatal(err)
	}
	expect(t, events, relayapi.EventPortFailed)
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client was not cut off: %v", err)
	}
}
