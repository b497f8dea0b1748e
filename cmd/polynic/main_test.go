// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/unixsock"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"polynic": main})
}

// TestScripts runs what needs neither root nor a lab.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("POLYNIC_STATE", filepath.Join(env.WorkDir, "lab"))
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"agent": agent},
	})
}

// agent serves the interfaces in a JSON file at a socket, until the script
// ends.
func agent(ts *testscript.TestScript, _ bool, args []string) {
	var shown view
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &shown))
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := unixsock.Listen(ctx, ts.MkAbs(args[0]), 0o600)
	if err != nil {
		cancel()
		ts.Fatalf("%v", err)
	}
	done := make(chan error, 1)
	go func() { done <- inspect.NewServer(shown, slog.New(slog.DiscardHandler)).Serve(ctx, listener) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
}

type view []inspect.Interface

func (v view) Interfaces(context.Context) []inspect.Interface { return v }
func (v view) Plan() desired.Set                              { return nil }
func (view) Services() []inspect.Service                      { return nil }
func (v view) Status() inspect.Status                         { return inspect.Status{} }

// Every command that people type says what it does, and shows it.
func TestEveryCommandHasHelp(t *testing.T) {
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: short text %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		if isLab := strings.HasPrefix(c.CommandPath(), "polynic lab "); isLab && c.Name() != "demo" && c.Flags().Lookup("state") == nil {
			t.Errorf("%s: no --state", c.CommandPath())
		}
		for _, below := range c.Commands() {
			check(below)
		}
	}
	check(newRoot())
}

func TestExitCodes(t *testing.T) {
	for want, args := range map[int][]string{
		0:         {"version"},
		codeError: {"explain", "-f", "/no/such/file"},
		codeUsage: {"explain", "--no-such-flag"},
	} {
		if got := run(t.Context(), args); got != want {
			t.Errorf("%q: exit code %d, want %d", args, got, want)
		}
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if got := run(interrupted, []string{"get", "interfaces", "--agent", filepath.Join(t.TempDir(), "none")}); got != codeInterrupted {
		t.Errorf("interrupted: exit code %d, want %d", got, codeInterrupted)
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	err := action(func(*cobra.Command, []string) error { return fmt.Errorf("x: %w", os.ErrNotExist) })(nil, nil)
	if !errors.Is(err, os.ErrNotExist) || err.Error() != "x: file does not exist" {
		t.Errorf("error %v", err)
	}
}
