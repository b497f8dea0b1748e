// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vppapi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/memclnt"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/test/isolate"
)

func TestMain(m *testing.M) {
	if code := isolate.Main(m); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(t *testing.T) (*vppapi.Client, *vpptest.Server) {
	t.Helper()
	s := vpptest.Start(t, vpptest.Config{})
	c := vppapi.NewClient(vppapi.Options{Socket: s.Socket, Messages: []api.Message{&interfaces.CreateLoopback{}}})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, s
}

// Many batches at once, and each reply is its request's.
func TestRepliesAreMatched(t *testing.T) {
	c, _ := open(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			replies := make([]interfaces.CreateLoopbackReply, 10)
			var b vppapi.Batch
			for i := range replies {
				b.Call(&interfaces.CreateLoopback{}, &replies[i])
			}
			if err := c.Do(t.Context(), &b); err != nil {
				t.Error(err)
			}
			for _, r := range replies {
				var names int
				var one vppapi.Batch
				vppapi.Dump(&one, &interfaces.SwInterfaceDump{SwIfIndex: r.SwIfIndex}, func(d *interfaces.SwInterfaceDetails) {
					names++
					if d.SwIfIndex != r.SwIfIndex {
						t.Errorf("asked for interface %d, got %d", r.SwIfIndex, d.SwIfIndex)
					}
				})
				if err := c.Do(t.Context(), &one); err != nil || names != 1 {
					t.Errorf("interface %d: error %v, %d times", r.SwIfIndex, err, names)
				}
			}
		})
	}
	all.Wait()
}

// What fails is told by the first's words, and does not stop what follows.
func TestErrors(t *testing.T) {
	c, s := open(t)
	s.FailCall("create_loopback", 2, api.TABLE_TOO_BIG)
	replies := make([]interfaces.CreateLoopbackReply, 3)
	var b vppapi.Batch
	for i := range replies {
		b.Call(&interfaces.CreateLoopback{}, &replies[i]).OnErrorSay("number %d", i)
	}
	err := c.Do(t.Context(), &b)
	if want := "number 1: create_loopback: VPPApiError: "; !errors.Is(err, api.TABLE_TOO_BIG) || err.Error()[:len(want)] != want {
		t.Errorf("error %v", err)
	}
	if replies[2].SwIfIndex == 0 {
		t.Error("the one behind it was not made")
	}
}

// A caller that gives up is let go, and what comes late is nobody's.
func TestGivingUp(t *testing.T) {
	c, s := open(t)
	if _, err := c.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var b vppapi.Batch
	b.Call(&memclnt.ControlPing{}, &memclnt.ControlPingReply{})
	if err := c.Do(ctx, &b); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	s.Unhang()
	if err := c.Do(t.Context(), &b); err != nil {
		t.Error(err)
	}
}

// A VPP that goes takes nobody along, and the next one is found.
func TestLost(t *testing.T) {
	c, s := open(t)
	conn, err := c.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Hang()
	failed := make(chan error, 1)
	go func() {
		var b vppapi.Batch
		b.Call(&memclnt.ControlPing{}, &memclnt.ControlPingReply{})
		failed <- conn.Do(t.Context(), &b)
	}()
	s.Kill()
	if err := <-failed; !errors.Is(err, dataplane.ErrAway) {
		t.Errorf("error %v, want ErrAway", err)
	}
	if _, err := c.Conn(t.Context()); !errors.Is(err, dataplane.ErrAway) {
		t.Errorf("without VPP: error %v, want ErrAway", err)
	}
	s.Unhang()
	s.Restart()
	if _, err := c.Conn(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNoVPP(t *testing.T) {
	c := vppapi.NewClient(vppapi.Options{Socket: filepath.Join(t.TempDir(), "none")})
	if _, err := c.Conn(t.Context()); !errors.Is(err, dataplane.ErrAway) {
		t.Errorf("error %v, want ErrAway", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
