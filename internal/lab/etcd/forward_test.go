// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// What is sent arrives, both ways, and so does the end of it; and when forwarding
// ends, so does every connection.
func TestForward(t *testing.T) {
	defer goleak.VerifyNone(t)
	far, near := listener(t), listener(t)
	defer far.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		forward(ctx, []net.Listener{near}, far.Addr().String())
	}()

	client := dial(t, near)
	server, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if asked, err := io.ReadAll(server); string(asked) != "question" || err != nil {
		t.Errorf("the far end reads %q, %v", asked, err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if answer, err := io.ReadAll(client); string(answer) != "answer" || err != nil {
		t.Errorf("the near end reads %q, %v", answer, err)
	}

	idle := dial(t, near)
	stop()
	<-ended
	if _, err := idle.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a connection outlives the forwarding: %v", err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", near.Addr().String()); err == nil {
		t.Error("it is still listened")
	}
}

// Where nobody is at the far end, the near one sees that at once.
func TestForwardToNobody(t *testing.T) {
	defer goleak.VerifyNone(t)
	far, near := listener(t), listener(t)
	address := far.Addr().String()
	far.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		forward(ctx, []net.Listener{near}, address)
	}()
	if _, err := dial(t, near).Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the connection is closed", err)
	}
	stop()
	<-ended
}
