// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

// documented is what a command line of a page of docs prints.
func (s suite) documented(page, line string) string {
	s.t.Helper()
	s.expectDocumented(page, line)
	return s.typed(line)
}

// deleted types a command line of a page of docs that deletes things. Of one that was
// cut off half-way, by a server that was slow, the rest is deleted.
func (s suite) deleted(page, line string) {
	s.t.Helper()
	s.expectDocumented(page, line)
	line = strings.TrimSuffix(line, "\n") + " --ignore-not-found"
	s.eventually(line, func() error {
		out, err := s.shell(line).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// expectDocumented looks for a text in a page of docs.
func (s suite) expectDocumented(page, text string) {
	s.t.Helper()
	all, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(all), text) {
		s.t.Errorf("docs/%s has no %q", page, text)
	}
}

// typed is what a command line prints that a user types.
func (s suite) typed(line string) string {
	s.t.Helper()
	var out []byte
	err := controlplane.Poll(time.Minute, func() (err error) {
		out, err = s.shell(line).CombinedOutput()
		if err != nil || len(out) == 0 {
			err = fmt.Errorf("%s: %w: %s", line, errors.Join(err, errSilent), out)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return strings.TrimSuffix(string(out), "\n") + "\n"
}

// errSilent is of commands that have something to say, and do not.
var errSilent = errors.New("nothing is printed")

// shell is a command line of a user who is the cluster's administrator.
func (s suite) shell(line string) *exec.Cmd {
	s.t.Helper()
	dir, err := kubebin.Dir()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = s.desk()
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KUBECONFIG="+s.Kubeconfig("admin", "system:masters"), "HOME="+s.Dir)
	return cmd
}

// desk is the folder where a user types: a checkout of the project in which it was
// built, with the manifests of the tests.
func (s suite) desk() string {
	s.t.Helper()
	dir := filepath.Join(s.Dir, "desk")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	manifests, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, thing := range append(manifests, "../../deploy", "../../examples", harness.Bin("")) {
		at, err := filepath.Abs(thing)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(dir, filepath.Base(at))); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}
