// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
)

// late is a dataplane that answers once it is there.
type late struct {
	dataplane.Driver // of which nothing else is asked
	isThere          atomic.Bool
}

func (l *late) Observe(context.Context, dataplane.Scope) (desired.Set, error) {
	if !l.isThere.Load() {
		return nil, fmt.Errorf("%w: VPP at /run/vpp/api.sock: no such file", dataplane.ErrAway)
	}
	return desired.NewSet(desired.Network{Name: model.StubNetwork}), nil
}

// options are of an agent in a folder of its own.
func options(t *testing.T) Options {
	t.Helper()
	c := config.Default()
	c.RunDir, c.StateDir = t.TempDir(), t.TempDir()
	return Options{Config: c, Log: slog.New(slog.DiscardHandler)}
}

// The agent may be started before VPP: it says what it waits for, and goes on once
// VPP answers.
func TestAStartBeforeVPP(t *testing.T) {
	o, driver := options(t), &late{}
	found := make(chan desired.Set)
	go func() {
		defer close(found)
		set, err := (&plane{driver: driver, process: "VPP"}).observe(t.Context(), o)
		if err != nil {
			t.Error(err)
		}
		found <- set
	}()
	const want = "the agent is not ready until VPP answers: the dataplane does not answer: VPP at /run/vpp/api.sock: no such file"
	client := inspect.NewClient(o.Config.InspectSocket())
	waitFor(t, func() bool {
		status, err := client.Status(t.Context())
		return err == nil && !status.Ready && len(status.Problems) == 1 && status.Problems[0].Reason == want
	})
	driver.isThere.Store(true)
	if set := <-found; len(set) != 1 {
		t.Errorf("found %s, want the network", set)
	}
	<-found
}

// Where the kernel is the dataplane, what fails now will fail again.
func TestAStartWithoutTheKernel(t *testing.T) {
	if _, err := (&plane{driver: &late{}}).observe(t.Context(), options(t)); !errors.Is(err, dataplane.ErrAway) {
		t.Errorf("error %v, want the dataplane's own", err)
	}
}

// An agent that is told to end does not wait on.
func TestAnEndBeforeVPP(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	ended := make(chan error)
	go func() {
		_, err := (&plane{driver: &late{}, process: "VPP"}).observe(ctx, o)
		ended <- err
	}()
	client := inspect.NewClient(o.Config.InspectSocket())
	waitFor(t, func() bool {
		status, err := client.Status(t.Context())
		return err == nil && len(status.Problems) == 1 && strings.Contains(status.Problems[0].Reason, "until VPP answers")
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	tooLate := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-tooLate:
			t.Fatal("it did not come to pass")
		}
	}
}
