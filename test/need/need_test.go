// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package need_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

// outcome stands in for a test, and notes how it was ended.
type outcome struct {
	testing.TB
	text string
}

func (*outcome) Helper() {}

func (o *outcome) Skip(args ...any) {
	o.text = "skipped: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (o *outcome) Fatalf(format string, args ...any) {
	o.text = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run is how a test ends that begins with f; "" is one that goes on.
func run(f func(testing.TB)) string {
	o := &outcome{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(o)
	}()
	<-done
	return o.text
}

func program(t testing.TB) {
	t.Helper()
	need.Command(t, need.Peers, "no-such-program")
}

func file(t testing.TB) {
	t.Helper()
	need.File(t, need.Cluster, "no/such/file")
}

func present(t testing.TB) {
	t.Helper()
	need.File(t, need.Cluster, "need.go")
	need.Command(t, need.Peers, "true")
}

func TestWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name, require string
		f             func(testing.TB)
		want          string
	}{
		{"program", "", program, "skipped: no-such-program is not installed"},
		{"program, other suite required", "kernel,cluster", program, "skipped: no-such-program"},
		{"program, required", "kernel,peers", program, "failed: REQUIRE=peers: no-such-program is not installed"},
		{"file", "peers", file, "skipped: stat no/such/file"},
		{"file, required", "cluster", file, "failed: REQUIRE=cluster: stat no/such/file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("REQUIRE", c.require)
			if got := run(c.f); !strings.HasPrefix(got, c.want) {
				t.Errorf("the test is %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatIsThere(t *testing.T) {
	t.Setenv("REQUIRE", "kernel,peers,cluster")
	if got := run(present); got != "" {
		t.Errorf("all is there, and the test is %q", got)
	}
}
