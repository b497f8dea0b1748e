// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package polynic_test

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

// maxCNIBinary is the most that polynic-cni may have, in bytes. Its size is
// part of its start-up time, and so of every pod's.
const maxCNIBinary = 4_000_000

// output runs a command at the root of the module.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out)
}

func TestCNIBinaryIsSmallAndStatic(t *testing.T) {
	dir := t.TempDir()
	output(t, need.Command(t, need.Kernel, "make"), "build", "BIN="+dir, "PROGRAMS=./cmd/polynic-cni")
	path := filepath.Join(dir, "polynic-cni")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("polynic-cni has %d bytes", info.Size())
	if info.Size() > maxCNIBinary {
		t.Errorf("polynic-cni has %d bytes, more than %d; see what it imports: go list -deps ./cmd/polynic-cni", info.Size(), maxCNIBinary)
	}
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("polynic-cni is not static (%s), and runs on hosts whose libraries we do not know; build it with CGO_ENABLED=0", p.Type)
		}
	}
}

func TestCNIBinaryDependsOnNothing(t *testing.T) {
	deps := output(t, "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/polynic-cni")
	for dep := range strings.FieldsSeq(deps) {
		if dep != module+"cmd/polynic-cni" && dep != module+"api/cniwire" {
			t.Errorf("polynic-cni depends on %s; it has the standard library and api/cniwire, and needs no more to pass a request on", dep)
		}
	}
}

// The etcd of the lab is a program of its own because it is that large: the others
// are its clients.
func TestOnlyTheLabsEtcdIsAServer(t *testing.T) {
	for _, program := range []string{"polynic", "polynic-agent", "polynic-controller"} {
		deps := output(t, "go", "list", "-deps", "./cmd/"+program)
		for dep := range strings.FieldsSeq(deps) {
			if strings.HasPrefix(dep, "go.etcd.io/etcd/server/") {
				t.Fatalf("%s depends on %s: have it be a client of polynic-etcd, which is the server", program, dep)
			}
		}
	}
}

func TestNoReplace(t *testing.T) {
	for _, file := range []string{"go.mod", "tools/go.mod", "test/cluster/programs/go.mod"} {
		var mod struct {
			Replace []struct{ Old, New struct{ Path string } }
		}
		if err := json.Unmarshal([]byte(output(t, "go", "mod", "edit", "-json", file)), &mod); err != nil {
			t.Fatal(err)
		}
		for _, r := range mod.Replace {
			t.Errorf("%s replaces %s by %s; nobody who imports us would get that: send the change upstream, or carry it in a package of ours",
				file, r.Old.Path, r.New.Path)
		}
	}
}
