// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// within has something done that must take no longer than a limit; what the machine
// had no time for is done again.
func within(t testing.TB, limit time.Duration, do func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 5 {
		took = append(took, do())
		if took[len(took)-1] <= limit {
			return
		}
	}
	t.Errorf("it took %v, want %v at most", took, limit)
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// socket is a path for a socket of the test's own.
func socket(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "memif.sock")
}

func listen(t testing.TB, c memif.ListenConfig) *memif.Listener {
	t.Helper()
	if c.Address == "" {
		c.Address = socket(t)
	}
	l, err := memif.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *memif.Listener, c memif.Config) *memif.Interface {
	t.Helper()
	i, err := l.Add(c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func dial(t testing.TB, l *memif.Listener, c memif.Config) *memif.Interface {
	t.Helper()
	i, err := memif.Dial(l.Addr().String(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

func connected(t testing.TB, i *memif.Interface) *memif.Conn {
	t.Helper()
	c, err := i.Connected(soon(t))
	if err != nil {
		t.Fatalf("not connected: %v; status %+v", err, i.Status())
	}
	return c
}

// pair connects two interfaces of the configuration.
func pair(t testing.TB, c memif.Config) (master, slave *memif.Interface) {
	t.Helper()
	l := listen(t, memif.ListenConfig{})
	master, slave = add(t, l, c), dial(t, l, c)
	connected(t, master)
	connected(t, slave)
	return master, slave
}
