// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podsocket_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/podsocket"
)

const name = "memif.sock"

func listen(t *testing.T, folder string) *podsocket.Socket {
	t.Helper()
	s, listener, err := podsocket.Listen(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return s
}

func dial(t *testing.T, folder string) error {
	t.Helper()
	conn, err := net.Dial("unixpacket", filepath.Join(folder, name))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// TestEveryUserCanConnect, whatever the umask was.
func TestEveryUserCanConnect(t *testing.T) {
	folder := t.TempDir()
	s := listen(t, folder)
	info, err := os.Lstat(filepath.Join(folder, name))
	if err != nil || info.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := errors.Join(dial(t, folder), s.Check(), s.Remove()); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestWhatIsThereIsReplaced(t *testing.T) {
	folder := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, put := range []func(path string) error{
		func(path string) error { return os.WriteFile(path, nil, 0o600) },
		func(path string) error { return os.Symlink(secret, path) },
		func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		func(path string) error { return unix.Mkfifo(path, 0o600) },
		func(string) error { return nil }, // the socket of the round before
	} {
		for _, at := range []string{name, "." + name + ".new"} {
			path := filepath.Join(folder, at)
			if _, err := os.Lstat(path); err != nil {
				if err := put(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := listen(t, folder)
		if err := errors.Join(dial(t, folder), s.Check(), s.Close()); err != nil {
			t.Error(err)
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(secret); err != nil || info.Mode() != 0o600 {
		t.Errorf("what a link led to is %v, %v", info, err)
	}
}

func TestFolders(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(folder, link), os.Mkdir(filepath.Join(folder, name), 0o700)); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]error{
		folder:                       unix.EEXIST, // a folder has the name
		link:                         unix.ENOTDIR,
		filepath.Join(folder, "not"): fs.ErrNotExist,
	} {
		if _, _, err := podsocket.Listen(at, name); !errors.Is(err, want) && !errors.Is(err, unix.EISDIR) {
			t.Errorf("%s: %v, want %v", at, err, want)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestAFolderInTheWay of the socket's draft keeps it from nothing.
func TestAFolderInTheWay(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "."+name+".new", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := listen(t, folder)
		if err := errors.Join(dial(t, folder), s.Check(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 2 {
		t.Errorf("there is %v, %v, want the socket and the pod's folder", files, err)
	}
}

func TestAnotherFileInThePlace(t *testing.T) {
	folder := t.TempDir()
	s := listen(t, folder)
	path := filepath.Join(folder, name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); !errors.Is(err, podsocket.ErrGone) {
		t.Errorf("check without the file: %v", err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); !errors.Is(err, podsocket.ErrGone) {
		t.Errorf("check of another file: %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the pod's own file is gone: %v", err)
	}
}
