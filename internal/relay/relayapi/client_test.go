// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/unixsock"
)

// peer listens where a relay would. Each connection is handed to the next of
// its scripts, and closed when that returns.
type peer struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex
	conn    net.Conn // the last
	stopped bool
}

type script func(in *relayapi.Reader, out net.Conn)

func listen(t *testing.T, path string, scripts ...script) {
	t.Helper()
	listener, err := unixsock.Listen(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{listener: listener}
	p.serving.Go(func() {
		for _, s := range scripts {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if p.keep(conn) {
				s(relayapi.NewReader(conn), conn)
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(p.stop)
}

func (p *peer) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = conn
	return !p.stopped
}

func (p *peer) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.stopped = true
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

func socket(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "relay.sock")
}

func newClient(t *testing.T, path string) *relayapi.Client {
	t.Helper()
	c := relayapi.New(path, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(c.Close)
	return c
}

// serveAll answers every request with success until the client leaves.
func serveAll(in *relayapi.Reader, out net.Conn) {
	for {
		q, err := in.Request()
		if err != nil {
			return
		}
		reply(out, relayapi.Reply{ID: q.ID, Errors: make([]*relayapi.Error, len(q.Ports))})
	}
}

func reply(out net.Conn, a relayapi.Reply) {
	a.Version = relayapi.Version
	line, _ := relayapi.Encode(a)
	_, _ = out.Write(line)
}

func TestAwayWhenNobodyListens(t *testing.T) {
	c := newClient(t, socket(t))
	begin := time.Now()
	_, err := c.List(t.Context())
	if !errors.Is(err, relayapi.ErrAway) || !strings.Contains(err.Error(), "relay.sock") {
		t.Errorf("error %v, want ErrAway and the path", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	errs := c.Attach(t.Context(), []relayapi.TapPort{port("a"), port("b")})
	if len(errs) != 2 || !errors.Is(errs[0], relayapi.ErrAway) || !errors.Is(errs[1], relayapi.ErrAway) {
		t.Errorf("errors %v, want ErrAway for each port", errs)
	}
}

func TestCallWaitsForARelayThatStarts(t *testing.T) {
	path := socket(t)
	c := newClient(t, path)
	result := make(chan error, 1)
	go func() {
		_, err := c.List(t.Context())
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatalf("gave up at once: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	listen(t, path, serveAll)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestCallThatIsCutShortIsRepeated(t *testing.T) {
	path := socket(t)
	cut := func(in *relayapi.Reader, _ net.Conn) { _, _ = in.Request() }
	listen(t, path, cut, serveAll)
	c := newClient(t, path)
	if err := c.Detach(t.Context(), []string{"a"}); err != nil {
		t.Error(err)
	}
}

func TestCallThatKillsTheRelayIsNotRepeatedForEver(t *testing.T) {
	path := socket(t)
	cut := func(in *relayapi.Reader, _ net.Conn) { _, _ = in.Request() }
	listen(t, path, cut, cut, serveAll)
	c := newClient(t, path)
	if err := c.Detach(t.Context(), []string{"a"}); !errors.Is(err, relayapi.ErrAway) {
		t.Errorf("error %v, want ErrAway", err)
	}
	if err := c.Detach(t.Context(), []string{"a"}); err != nil {
		t.Error(err)
	}
}

func TestRepliesFindTheirCalls(t *testing.T) {
	path := socket(t)
	const calls = 20
	listen(t, path, func(in *relayapi.Reader, out net.Conn) {
		var requests []relayapi.Request
		for range calls {
			q, err := in.Request()
			if err != nil {
				return
			}
			requests = append([]relayapi.Request{q}, requests...)
		}
		for _, q := range requests { // last come, first served
			reply(out, relayapi.Reply{ID: q.ID, Error: relayapi.NewError(errors.New(q.IDs[0]))})
		}
		_, _ = in.Request()
	})
	c := newClient(t, path)
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			want := fmt.Sprint("port ", i)
			if err := c.Detach(t.Context(), []string{want}); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
	group.Wait()
}

func TestManyPortsGoInParts(t *testing.T) {
	path := socket(t)
	listen(t, path, func(in *relayapi.Reader, out net.Conn) {
		for {
			q, err := in.Request()
			if err != nil {
				return
			}
			a := relayapi.Reply{ID: q.ID}
			for _, p := range q.Ports {
				a.Errors = append(a.Errors, relayapi.NewError(errors.New(p.ID)))
			}
			reply(out, a)
		}
	})
	c := newClient(t, path)
	var ports []relayapi.TapPort
	var want, got []string
	for i := range 600 {
		p := port(fmt.Sprint(i))
		p.Pod.Netns = "/" + strings.Repeat("\"", 1000) // doubles in JSON
		ports, want = append(ports, p), append(want, p.ID)
	}
	for _, err := range c.Attach(t.Context(), ports) {
		got = append(got, fmt.Sprint(err))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestStrangeRelays(t *testing.T) {
	for name, answer := range map[string]string{
		"garbage":       "hello\n",
		"other version": `{"version":2,"id":1}` + "\n",
		"too long":      strings.Repeat("x", relayapi.MaxReply+1),
		"hangs up":      "",
	} {
		t.Run(name, func(t *testing.T) {
			path := socket(t)
			strange := func(in *relayapi.Reader, out net.Conn) {
				_, _ = in.Request()
				_, _ = out.Write([]byte(answer))
			}
			listen(t, path, strange, strange, serveAll)
			c := newClient(t, path)
			if _, err := c.List(t.Context()); !errors.Is(err, relayapi.ErrAway) {
				t.Errorf("error %v, want ErrAway", err)
			}
			if _, err := c.List(t.Context()); err != nil {
				t.Errorf("the next connection: %v", err)
			}
		})
	}
	t.Run("too few errors", func(t *testing.T) {
		path := socket(t)
		listen(t, path, func(in *relayapi.Reader, out net.Conn) {
			q, _ := in.Request()
			reply(out, relayapi.Reply{ID: q.ID, Errors: []*relayapi.Error{nil}})
			_, _ = in.Request()
		})
		for i, err := range newClient(t, path).Attach(t.Context(), []relayapi.TapPort{port("a"), port("b")}) {
			if err == nil {
				t.Errorf("port %d counts as attached", i)
			}
		}
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	path := socket(t)
	asked := make(chan struct{})
	listen(t, path, func(in *relayapi.Reader, _ net.Conn) {
		_, _ = in.Request()
		close(asked)
		_, _ = in.Request()
	})
	c := newClient(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := c.List(ctx)
		result <- err
	}()
	<-asked
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || !errors.Is(err, relayapi.ErrAway) {
		t.Errorf("error %v, want context.Canceled and ErrAway", err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	path := socket(t)
	asked := make(chan struct{})
	listen(t, path, func(in *relayapi.Reader, _ net.Conn) {
		_, _ = in.Request()
		close(asked)
		_, _ = in.Request()
	})
	c := newClient(t, path)
	result := make(chan error, 1)
	go func() {
		_, err := c.List(t.Context())
		result <- err
	}()
	<-asked
	c.Close()
	if err := <-result; err == nil {
		t.Error("a call succeeded without an answer")
	}
	if _, err := c.List(t.Context()); err == nil {
		t.Error("a closed client connected again")
	}
}
