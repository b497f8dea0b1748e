// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/test/need"
)

func TestTheMatrixShowsWhoAnswered(t *testing.T) {
	ends := []end{
		{name: "a/eth0", from: &container.Place{}}, {name: "host", from: &container.Place{}}, {name: "outside"},
	}
	var b strings.Builder
	lost, err := family{name: "IPv4", is: netip.Addr.Is4}.write(&b, ends, []ping{
		{from: "a/eth0", to: "host", isAnswered: true},
		{from: "a/eth0", to: "outside"},
		{from: "host", to: "a/eth0", isAnswered: true},
	})
	if err != nil || lost != 1 {
		t.Errorf("lost %d, %v, want 1", lost, err)
	}
	want := `
IPv4 pings, from the left to the top: 2 of 3 answered
        a/eth0  host  outside
a/eth0  -       ok    LOST
host    ok      -     -
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
}

// The check at the end sees what is left.
func TestWhatIsLeftIsSeen(t *testing.T) {
	need.Root(t)
	command := exec.CommandContext(t.Context(), "sleep", "600")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ns, err := namespaceAt("/proc/" + strconv.Itoa(id.PID) + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	links, err := machineLinks()
	if err != nil {
		t.Fatal(err)
	}
	made := survey{processes: []process.ID{id}, namespaces: []namespace{ns}}
	var b strings.Builder
	err = made.isGone(&b, append(links, "zzz"))
	for _, want := range []string{"process " + strconv.Itoa(id.PID) + " is left", "network namespace " + strconv.FormatUint(ns.cookie, 10) + " is left: in it is process " + strconv.Itoa(id.PID) + " (sleep)", "the machine's links were"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // killed
	b.Reset()
	if err := made.isGone(&b, links); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if want := "processes left: 0 of 1\nnetwork namespaces left: 0 of 1\n"; !strings.HasPrefix(b.String(), want) {
		t.Errorf("wrote %q, want %q first", b.String(), want)
	}
}
