// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// possessions are the descriptors and mappings of this process that memif makes.
type possessions struct {
	Eventfds, Sockets, Memfds, Epolls int
	Mappings                          int // of memfds
	Guards                            int // address space without access beside them
}

func own(t testing.TB) possessions {
	t.Helper()
	var p possessions
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		link, _ := os.Readlink("/proc/self/fd/" + e.Name()) // gone meanwhile: that of ReadDir itself
		switch {
		case link == "anon_inode:[eventfd]":
			p.Eventfds++
		case link == "anon_inode:[eventpoll]":
			p.Epolls++
		case strings.HasPrefix(link, "socket:"):
			p.Sockets++
		case strings.HasPrefix(link, "/memfd:"):
			p.Memfds++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	p.Mappings = strings.Count(string(maps), "/memfd:")
	p.Guards = len(beside.FindAll(maps, -1))
	return p
}

// A mapping of a memfd with address space before it that allows nothing.
var beside = regexp.MustCompile(`---p 00000000 00:00 0 *\n[^\n]*/memfd:`)

// nothingLeft checks, when the test and its other cleanups are over, that this
// process has what it had when it was called.
func nothingLeft(t testing.TB) {
	t.Helper()
	if r, w, err := os.Pipe(); err == nil { // the first file makes the runtime's poller
		r.Close()
		w.Close()
	}
	goroutines := goleak.IgnoreCurrent()
	before := own(t)
	t.Cleanup(func() {
		isAsBefore(t, before)
		if err := goleak.Find(goroutines); err != nil {
			t.Error(err)
		}
	})
}

// isAsBefore waits until this process has what it had before. Descriptors are closed
// a moment after what held them has ended: also those of the runtime's poller.
func isAsBefore(t testing.TB, before possessions) {
	t.Helper()
	var diff string
	eventually(t, func() bool {
		diff = cmp.Diff(before, own(t))
		return diff == ""
	}, func() string { return "left behind (-before +after):\n" + diff })
}

// eventually waits until something holds of which there is no event.
func eventually(t testing.TB, holds func() bool, otherwise func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if holds() {
			return
		}
	}
	t.Error(otherwise())
}
