// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/unixsock"
)

// view is an agent that is ready or not.
type view struct{ status inspect.Status }

func (view) Interfaces(context.Context) []inspect.Interface { return nil }
func (view) Plan() desired.Set                              { return nil }
func (view) Services() []inspect.Service                    { return nil }
func (v view) Status() inspect.Status                       { return v.status }

// A probe is told by the exit code, and people who describe the pod by the text.
func TestHealth(t *testing.T) {
	waiting := inspect.Status{Problems: []inspect.Problem{{Object: "agent", Reason: "it has begun"}}}
	for _, c := range []struct {
		name  string
		agent *inspect.Status // nil for none
		flags []string
		want  string // in the error; empty for none
	}{
		{"ready", &inspect.Status{Ready: true}, nil, ""},
		{"waiting", &waiting, nil, "it has begun"},
		{"waiting and alive", &waiting, []string{"--alive"}, ""},
		{"away", nil, []string{"--alive"}, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "agent.yaml")
			if err := os.WriteFile(path, []byte("nodeName: a\npodSource: dir:/pods\nrunDir: "+dir), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.agent != nil {
				serve(t, filepath.Join(dir, "inspect.sock"), view{*c.agent})
			}
			root := command()
			root.SetArgs(append([]string{"health", "--config", path}, c.flags...))
			err := root.ExecuteContext(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func serve(t *testing.T, socket string, v inspect.View) {
	t.Helper()
	listener, err := unixsock.Listen(t.Context(), socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- inspect.NewServer(v, slog.New(slog.DiscardHandler)).Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
