// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package unixsock_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keep serves "hello" at the path until the end of the test.
func keep(t *testing.T, path string) {
	t.Helper()
	listener, err := unixsock.Keep(t.Context(), path, 0o600, slog.New(slog.NewTextHandler(t.Output(), nil)))
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
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket file after close: %v, want none", err)
		}
	})
}

// answers reports whether "hello" comes from the socket.
func answers(t *testing.T, path string) bool {
	t.Helper()
	conn, err := unixsock.Dial(t.Context(), path)
	if err != nil {
		return false
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	return err == nil && string(text) == "hello"
}

// away removes a folder at one stroke, so that nothing comes into it meanwhile.
func away(folder string) error {
	gone := folder + ".gone"
	return errors.Join(os.Rename(folder, gone), os.RemoveAll(gone))
}

func eventually(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !answers(t, path) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("nobody answers")
		}
	}
}

func TestKeepListensAgain(t *testing.T) {
	folder := filepath.Join(t.TempDir(), strings.Repeat("d", 100), "run")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "a.sock")
	keep(t, path)
	for name, remove := range map[string]func() error{
		"the file":              func() error { return os.Remove(path) },
		"renamed":               func() error { return os.Rename(path, path+".old") },
		"the folder":            func() error { return away(folder) },
		"the folders":           func() error { return away(filepath.Dir(folder)) },
		"nothing":               func() error { return nil },
		"another file, renamed": func() error { return os.WriteFile(filepath.Join(folder, "b"), nil, 0o600) },
	} {
		for range 3 {
			eventually(t, path)
			if err := remove(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		eventually(t, path)
		checkMode(t, path)
	}
}

// What is at the path meanwhile is another's, and stays.
func TestKeepTakesNothingAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	keep(t, path)
	eventually(t, path)
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".other", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetUnlinkOnClose(false)
	if err := os.Rename(path+".other", path); err != nil {
		t.Fatal(err)
	}
	conn, err := unixsock.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	theirs, err := other.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, path)
}
