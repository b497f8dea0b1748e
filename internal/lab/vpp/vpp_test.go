// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/polynic/polynic/internal/lab/vpp"
	"github.com/polynic/polynic/test/golden"
)

func TestStartup(t *testing.T) {
	golden.Run(t, "testdata/startup.txtar", func(_ *testing.T, files []txtar.File) string {
		return vpp.In(strings.TrimSpace(string(files[0].Data))).Startup()
	})
}

// Two labs on a machine share no memory.
func TestSegments(t *testing.T) {
	prefix := func(folder string) string {
		_, rest, _ := strings.Cut(vpp.In(folder).Startup(), "prefix ")
		word, _, _ := strings.Cut(rest, "\n")
		return word
	}
	if a, b := prefix("/a/nodes/node1"), prefix("/b/nodes/node1"); a == b || a != prefix("/a/nodes/node1") {
		t.Errorf("the labs in /a and /b have the prefixes %s and %s", a, b)
	}
}

// program is a file that can be executed.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	onPath, given := program(t, "vpp"), program(t, "vpp-25.10")
	for _, c := range []struct{ name, path, env, want, err string }{
		{name: "on the PATH", path: filepath.Dir(onPath), want: onPath},
		{name: "given", path: filepath.Dir(onPath), env: given, want: given},
		{name: "given and not there", path: filepath.Dir(onPath), env: given + "x", err: "POLYNIC_VPP is " + given + "x, where no program is: "},
		{name: "nowhere", path: t.TempDir(), err: "there is no VPP here .*POLYNIC_VPP=PATH.*--vpp-api SOCKET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv(vpp.ProgramEnv, c.env)
			got, err := vpp.Find()
			if got != c.want || (err != nil) != (c.err != "") {
				t.Fatalf("%q, %v, want %q, %s", got, err, c.want, c.err)
			}
			if err != nil && !regexp.MustCompile(c.err).MatchString(err.Error()) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	if err := vpp.Check("/var/lib/polynic-lab/nodes/node1"); err != nil {
		t.Error(err)
	}
	for folder, want := range map[string]string{
		"/" + strings.Repeat("x", 68): "too long a path for VPP's sockets, by 4 characters",
		"/my lab":                     "takes no path with blanks",
	} {
		if err := vpp.Check(folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", folder, err, want)
		}
	}
}
