// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memifdir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/test/need"
)

const id = "bcdfghjklmnpqrstvwxz"

func made(t *testing.T) memifdir.Dir {
	t.Helper()
	d := memifdir.Dir(filepath.Join(t.TempDir(), "memif"))
	if err := d.Make(id); err != nil {
		t.Fatal(err)
	}
	return d
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// The folders are closed to everybody else on the node; a container sees
// nothing but its own, where each user may put files.
func TestModes(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	d := made(t)
	if got := mode(t, string(d)); got != fs.ModeDir|0o700 {
		t.Errorf("the folder of folders has mode %v", got)
	}
	if got := mode(t, d.Path(id)); got != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("a container's folder has mode %v", got)
	}
	if _, err := d.WriteInterfaces(id, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, filepath.Join(d.Path(id), memifdir.InterfacesName)); got != 0o644 {
		t.Errorf("the file of interfaces has mode %v", got)
	}
}

// Another user than the agent's, in the container, connects to the socket,
// reads the file, puts a socket of its own there, and can remove only that.
func TestAnotherUser(t *testing.T) {
	need.Root(t)
	d := made(t)
	socket := filepath.Join(d.Path(id), memifdir.SocketName)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteInterfaces(id, []byte("told")); err != nil {
		t.Fatal(err)
	}
	// The folder alone is in its view, as in a container's mount.
	folder, err := os.Open(d.Path(id))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	command := exec.CommandContext(t.Context(), "sh", "-c",
		`cd /proc/self/fd/3 && cat interfaces.json && mkdir own && ! rm -f interfaces.json memif.sock 2>/dev/null && test -w memif.sock`)
	command.ExtraFiles = []*os.File{folder}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := command.CombinedOutput(); err != nil || string(out) != "told" {
		t.Errorf("as another user: %v, %q", err, out)
	}
}

// What a container's runtime made in place of a folder that was missing is put
// right, and what is in a folder stays.
func TestMakeAgain(t *testing.T) {
	d := memifdir.Dir(filepath.Join(t.TempDir(), "memif"))
	if err := os.MkdirAll(d.Path(id), 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(d.Path(id), "own")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(id); err != nil {
		t.Fatal(err)
	}
	if got := mode(t, d.Path(id)); got != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("mode %v", got)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
}

func TestMissingFolder(t *testing.T) {
	for name, prepare := range map[string]func(memifdir.Dir) error{
		"nothing at all": func(memifdir.Dir) error { return nil },
		"only another's": func(d memifdir.Dir) error { return d.Make("another") },
		"a file": func(d memifdir.Dir) error {
			return errors.Join(d.Make("another"), os.WriteFile(d.Path(id), nil, 0o600))
		},
		"a link to one":      func(d memifdir.Dir) error { return errors.Join(d.Make("another"), os.Symlink("another", d.Path(id))) },
		"a link to anything": func(d memifdir.Dir) error { return errors.Join(d.Make("another"), os.Symlink("/", d.Path(id))) },
	} {
		d := memifdir.Dir(filepath.Join(t.TempDir(), "memif"))
		if err := prepare(d); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(id); !errors.Is(err, memifdir.ErrMissing) || !strings.Contains(err.Error(), d.Path(id)) {
			t.Errorf("%s: Check: %v, want ErrMissing and the path", name, err)
		}
		if _, err := d.WriteInterfaces(id, []byte("x")); !errors.Is(err, memifdir.ErrMissing) {
			t.Errorf("%s: WriteInterfaces: %v, want ErrMissing", name, err)
		}
		if err := d.Remove(t.Context(), id); err != nil {
			t.Errorf("%s: Remove: %v", name, err)
		}
	}
}

func TestNamesThatLeadAway(t *testing.T) {
	d := made(t)
	for _, name := range []string{"", ".", "..", "../x", "/etc", id + "/x", "a\x00"} {
		if err := d.Make(name); err == nil {
			t.Errorf("%q is made", name)
		}
		if err := d.Check(name); err == nil {
			t.Errorf("%q is there", name)
		}
		if err := d.Remove(t.Context(), name); err == nil {
			t.Errorf("%q is removed", name)
		}
	}
}

// Links that the container put into its folder lead nowhere.
func TestLinksAreNotFollowed(t *testing.T) {
	d := made(t)
	outside := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(outside, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(d.Path(id), memifdir.InterfacesName)
	for _, target := range []string{outside, filepath.Dir(outside), "/proc/self/fd/0", memifdir.InterfacesName} {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteInterfaces(id, []byte("told")); err != nil {
			t.Errorf("link to %s: %v", target, err)
		}
		if got := mode(t, link); !got.IsRegular() {
			t.Errorf("link to %s: there is a %v now", target, got)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(d.Path(id), "way-out")); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "canary" {
		t.Errorf("outside: %q, %v", text, err)
	}
}

// A folder where the file is to be refuses this container alone, and no draft
// is left.
func TestInTheWay(t *testing.T) {
	d := made(t)
	if err := os.MkdirAll(filepath.Join(d.Path(id), memifdir.InterfacesName, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := d.WriteInterfaces(id, []byte("told"))
	if err == nil || !strings.Contains(err.Error(), d.Path(id)) {
		t.Errorf("error %v, want one that names the folder", err)
	}
	entries, err := os.ReadDir(d.Path(id))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v is in the folder", entries, err)
	}
}

func TestFullDisk(t *testing.T) {
	need.Root(t)
	runtime.LockOSThread() // its mount namespace ends with the test
	dir := t.TempDir()
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k,nr_inodes=6")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	d := memifdir.Dir(dir)
	if err := d.Make(id); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteInterfaces(id, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteInterfaces(id, make([]byte, 64<<10)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write: %v, want no space", err)
	}
	path := filepath.Join(d.Path(id), memifdir.InterfacesName)
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("the file is %q, %v, want the old one", text, err)
	}
	for n := 0; ; n++ {
		err := d.Make(fmt.Sprint(n))
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil || n > 10 {
			t.Fatalf("folder %d: %v, want no space", n, err)
		}
	}
}

// A tree that is deeper than there are descriptors, and longer than a path can
// be, goes with the rest.
func TestRemoveDeepAndWide(t *testing.T) {
	d := made(t)
	const deep, wide = 5000, 2000
	for n := range wide {
		if err := os.WriteFile(filepath.Join(d.Path(id), fmt.Sprint("file", n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Names that the moving of folders would like to use.
	if err := os.WriteFile(filepath.Join(d.Path(id), "moved-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(d.Path(id), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range deep {
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.Mkdirat(fd, "d", 0o755), unix.Mkdirat(fd, "moved-2", 0o755)); err != nil {
			t.Fatal(err)
		}
		below, openErr := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd, err = below, openErr
	}
	unix.Close(fd)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Remove(ended, id); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if err := d.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := d.Check(id); !errors.Is(err, memifdir.ErrMissing) {
		t.Errorf("afterwards: %v, want ErrMissing", err)
	}
}

// Whoever reads the file while it is replaced sees one or the other, whole.
func TestReplacedAtOnce(t *testing.T) {
	d := made(t)
	texts := [][]byte{bytes.Repeat([]byte("a"), 9000), bytes.Repeat([]byte("b"), 4000)}
	if _, err := d.WriteInterfaces(id, texts[0]); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		var err error
		for n := range 300 {
			_, writeErr := d.WriteInterfaces(id, texts[n%2])
			err = errors.Join(err, writeErr)
		}
		written <- err
	}()
	path := filepath.Join(d.Path(id), memifdir.InterfacesName)
	for {
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(text, texts[0]) && !bytes.Equal(text, texts[1]) {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		select {
		case err := <-written:
			if diff := cmp.Diff(nil, err); diff != "" {
				t.Error(err)
			}
			return
		default:
		}
	}
}
