// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/unixsock"
)

// binaries is the folder of the real polynic-cni, built as it is shipped.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "polynic-cni"); err == nil {
		err = build(".", "polynic-cni")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(binaries); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}

func build(source, name string) error {
	command := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3", "-o", filepath.Join(binaries, name), source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return nil
}

// node is where one polynic-cni and one agent meet.
type node struct {
	socket, state string
}

func newNode(t testing.TB) node {
	t.Helper()
	dir := t.TempDir()
	return node{socket: filepath.Join(dir, "cni.sock"), state: filepath.Join(dir, "state")}
}

// conf is a network configuration as a plugin gets it.
func (n node) conf() string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"net","type":"polynic-cni","socket":%q,"stateDir":%q}`, n.socket, n.state)
}

// serve is an agent with verbs for its pod path, until the test ends.
func (n node) serve(t testing.TB, verbs cniserver.Verbs) {
	t.Helper()
	cfg := cniserver.Config{Socket: n.socket, Bounds: cniserver.DefaultBounds(), Log: slog.New(slog.DiscardHandler)}
	server, err := cniserver.Listen(t.Context(), cfg, verbs)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
}

// listen is an agent of which the test says what it does with a connection,
// until the test ends.
func (n node) listen(t *testing.T, with func(net.Conn)) {
	t.Helper()
	listener, err := unixsock.Listen(t.Context(), n.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			with(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

// finished is what a run of polynic-cni left.
type finished struct {
	status         int
	stdout, stderr string
	took           time.Duration
}

// plugin runs polynic-cni with an environment of KEY=VALUE words. Its standard input
// is a file, so that it does not wait, which it does for less than a second, until the
// test gets round to writing it.
func plugin(t *testing.T, environment, stdin string) finished {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stdin")
	writeFile(t, path, stdin)
	input, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	return pluginReading(t, environment, input)
}

func pluginReading(t *testing.T, environment string, stdin *os.File) finished {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), filepath.Join(binaries, "polynic-cni"))
	command.Env = strings.Fields(environment)
	command.Stdin, command.Stdout, command.Stderr = stdin, &stdout, &stderr
	begin := time.Now()
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return finished{command.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(begin)}
}

// An environment for each verb.
const (
	addEnv    = "CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/c1 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
	checkEnv  = "CNI_COMMAND=CHECK CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/c1 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
	delEnv    = "CNI_COMMAND=DEL CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
	gcEnv     = "CNI_COMMAND=GC CNI_PATH=/opt/cni/bin"
	statusEnv = "CNI_COMMAND=STATUS CNI_PATH=/opt/cni/bin"
)

// wantError is the CNI error that a run printed, which has every field of the
// specification and no other.
func wantError(t *testing.T, run finished, code cniwire.Code) (msg string) {
	t.Helper()
	var e struct {
		CNIVersion *string       `json:"cniVersion"`
		Code       *cniwire.Code `json:"code"`
		Msg        *string       `json:"msg"`
		Details    *string       `json:"details"`
	}
	decoder := json.NewDecoder(strings.NewReader(run.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil || e.CNIVersion == nil || e.Code == nil || e.Msg == nil || e.Details == nil {
		t.Fatalf("no CNI error: %q, %v", run.stdout, err)
	}
	if *e.Code != code || run.status != 1 {
		t.Errorf("code %d, status %d, want %d and 1: %s", *e.Code, run.status, code, *e.Msg)
	}
	return *e.Msg
}

func wantOK(t *testing.T, run finished) {
	t.Helper()
	if run.status != 0 || run.stdout != "" {
		t.Fatalf("status %d, %q, %q", run.status, run.stdout, run.stderr)
	}
}
