// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package unixsock_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/unixsock"
)

func TestListenAndDial(t *testing.T) {
	for name, path := range map[string]string{
		"short": filepath.Join(t.TempDir(), "a.sock"),
		"long":  filepath.Join(t.TempDir(), strings.Repeat("d", 150), "a.sock"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			listener, err := unixsock.Listen(t.Context(), path, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			checkMode(t, path)
			echoOnce(t, listener, path)
			if _, err := unixsock.Listen(t.Context(), path, 0o600); !errors.Is(err, unixsock.ErrInUse) {
				t.Errorf("second listener: %v, want ErrInUse", err)
			}
			if err := listener.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("socket file after close: %v, want none", err)
			}
		})
	}
}

func TestListenReplacesWhatADeadProcessLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := unixsock.Listen(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	echoOnce(t, listener, path)
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixsock.Listen(t.Context(), path, 0o600); err == nil {
		t.Error("listened over a plain file")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "mine" {
		t.Errorf("file is %q, %v", data, err)
	}
}

func checkMode(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode().Perm())
	}
}

func echoOnce(t *testing.T, listener net.Listener, path string) {
	t.Helper()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello"))
			err = errors.Join(err, conn.Close())
		}
		served <- err
	}()
	conn, err := unixsock.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
