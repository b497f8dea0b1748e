// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/relay"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/test/need"
)

func newSpace(t testing.TB) *relaytest.Space {
	t.Helper()
	need.Tun(t)
	need.Command(t, need.Kernel, "ping")
	return relaytest.NewSpace(t)
}

// running is a relay inside the test process.
type running struct {
	cfg    relay.Config
	client *relayapi.Client
	stop   func()
}

func startRelay(t testing.TB, stateDir string) *running {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &running{cfg: relay.Config{Socket: filepath.Join(stateDir, "relay.sock"), StateDir: stateDir}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx, r.cfg, log) }()
	r.client = relayapi.New(r.cfg.Socket, log)
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		r.client.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("relay: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) attach(t testing.TB, ports ...relayapi.TapPort) {
	t.Helper()
	if err := errors.Join(r.client.Attach(t.Context(), ports)...); err != nil {
		t.Fatal(err)
	}
}

func (r *running) state(t testing.TB, id string) relayapi.PortState {
	t.Helper()
	ports, err := r.client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("port %s is not listed: %v", id, ports)
	return relayapi.PortState{}
}

// counted waits until the port's counters are as wanted: a burst's frames are
// with their receivers before they are counted.
func (r *running) counted(t testing.TB, id string, ok func(relayapi.PortState) bool) relayapi.PortState {
	t.Helper()
	var s relayapi.PortState
	limit := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s = r.state(t, id); !ok(s); s = r.state(t, id) {
		if time.Now().After(limit) {
			t.Fatalf("counters of %s: %+v", id, s)
		}
		<-tick.C
	}
	return s
}

// records counts the port records in the relay's state folder.
func (r *running) records(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.cfg.StateDir, "*.port.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
