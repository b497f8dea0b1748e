// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vm_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/vm"
)

// patience is how long a machine may run; without KVM it is some ten times slower
// than this one.
const patience = 8 * time.Minute

// kernel is the one that test/vm/setup prints the folder of.
func kernel(t *testing.T) vm.Kernel {
	t.Helper()
	need.Command(t, need.Machine, "qemu-system-x86_64")
	need.Command(t, need.Machine, "busybox")
	folder := os.Getenv("POLYNIC_VM_KERNEL")
	if folder == "" {
		need.Lack(t, need.Machine, "POLYNIC_VM_KERNEL is not set (make test-vm sets it)")
	}
	k, err := vm.FindKernel(folder)
	if err != nil {
		need.Lack(t, need.Machine, err.Error())
	}
	return k
}

// run runs a test in a machine, in its package's folder, and gives what it prints.
func run(t *testing.T, folder, program string, args ...string) (output string, code int) {
	t.Helper()
	folder, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, err = vm.Run(ctx, vm.Job{Kernel: kernel(t), Program: program, Args: args, Env: os.Environ(), Dir: folder, Output: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return out.String(), code
}

// A machine has this one's files and what its kernel lacks, and tells how the
// program ended.
func TestMachine(t *testing.T) {
	k := kernel(t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code, err := vm.Run(t.Context(), vm.Job{
		Kernel: k, Program: busybox, Dir: "/etc", Env: []string{"WORD=it's here"}, Output: &out,
		Args: []string{"sh", "-c", `echo "$WORD $PWD $(id -u)"; [ -c /dev/vhost-net ] && [ -e "$0" ] && ! touch "$0" && touch /tmp/a /run/a; exit $((40+$?))`, "/etc/passwd"},
	})
	if want := "it's here /etc 0\n"; err != nil || code != 40 || !strings.Contains(out.String(), want) {
		t.Errorf("the machine ended with %d, %v, and said %q; want 40 and %q", code, err, out.String(), want)
	}
}

// VPP's own taps: what must be so of them runs where there is vhost-net.
func TestTaps(t *testing.T) {
	kernel(t)
	need.VPP(t)
	for _, c := range []struct{ folder, tests string }{
		{"../../internal/dataplane/vpp/vpptest", "^TestVPP$/^taps$"},
		{"../../internal/dataplane/vpp", "^TestOwnTaps$"},
	} {
		program := filepath.Join(t.TempDir(), "test")
		if said, err := exec.Command("go", "test", "-c", "-o", program, c.folder).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		output, code := run(t, c.folder, program, "-test.v", "-test.timeout=7m", "-test.run="+c.tests)
		if code != 0 || !strings.Contains(output, "--- PASS") || strings.Contains(output, "--- SKIP") {
			t.Errorf("%s: exit code %d\n%s", c.folder, code, output)
		}
		t.Log(output)
	}
}
