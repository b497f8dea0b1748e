// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/machine"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(machine.Main(m)) }

func TestNothingOfTheOutsideIsSeen(t *testing.T) {
	need.Root(t)
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) != 1 || links[0].Name != "lo" || links[0].Flags&net.FlagUp == 0 {
		t.Errorf("the network namespace has %v", links)
	}
	out, err := exec.Command("ps", "-A", "-o", "pid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if processes := strings.Fields(string(out)); len(processes) != 3 { // process 1, this one and ps
		t.Errorf("processes %v", processes)
	}
}

func TestOrphansAreCollected(t *testing.T) {
	need.Root(t)
	// The inner shell ends at once, and its child is nobody's.
	out, err := exec.Command("sh", "-c", "sh -c 'sleep 0.05 & echo $!'; tail --pid=$(pgrep sleep) -f /dev/null; ps -A -o stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "Z") {
		t.Errorf("there are zombies:\n%s", out)
	}
}

func TestFilesAreOnesOwn(t *testing.T) {
	need.Root(t)
	const folder = "/etc/polynic-test"
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	// Processes outside are not to be reached, so the lower layer is looked at
	// through a mount of its own.
	if err := os.WriteFile(filepath.Join(folder, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(mounts), "\n"); !strings.Contains(first, " / / ") || !strings.Contains(first, "shared:") ||
		!strings.Contains(first, "overlay") {
		t.Errorf("the root is %s", first)
	}
}

func TestGroupsBelowAreOnesOwn(t *testing.T) {
	need.Root(t)
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); fields[1] != "" && fields[2] != "/" {
			t.Errorf("a control group that is not the root of what is seen: %s", line)
		}
	}
	if err := os.Mkdir("/sys/fs/cgroup/memory/left", 0o755); err != nil {
		t.Error(err)
	}
}
