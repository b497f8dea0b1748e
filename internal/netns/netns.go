// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package netns is the only code that enters network namespaces. Everything
// that must run inside one goes through Handle.Do, which never lets a thread
// escape in the wrong namespace. Where a socket born in the namespace is
// enough, internal/nl gives one without running any code inside.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// Sentinel errors.
var (
	// ErrGone means that the path does not exist, or leads to another
	// namespace than the one expected.
	ErrGone = errors.New("network namespace is gone")
	// ErrNotNetns means that the path leads to something else.
	ErrNotNetns = errors.New("not a network namespace")
)

// Handle is an open network namespace. An open handle keeps the namespace
// alive, so it is closed as soon as its work is done. Safe for concurrent use.
type Handle struct {
	file  *os.File
	inode uint64
}

// Open opens the namespace at a path such as /run/netns/NAME or
// /proc/PID/ns/net. The error wraps ErrGone where nothing is there and
// ErrNotNetns where it is something else.
func Open(path string) (*Handle, error) {
	file, err := openFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("network namespace %s: %w", path, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	h, err := newHandle(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("network namespace %s: %w", path, err), file.Close())
	}
	return h, nil
}

// OpenExact opens the namespace and makes sure that it is still the one with
// the given inode; the error wraps ErrGone where it is not.
func OpenExact(ns model.Netns) (*Handle, error) {
	h, err := Open(ns.Path)
	if errors.Is(err, ErrNotNetns) {
		// A file that was the mount point of a namespace is left behind when
		// the namespace is unmounted.
		return nil, fmt.Errorf("network namespace %s: %w", ns.Path, ErrGone)
	}
	if err != nil {
		return nil, err
	}
	if h.inode != ns.Inode {
		return nil, errors.Join(
			fmt.Errorf("network namespace %s: %w: the path leads to another one now", ns.Path, ErrGone), h.Close())
	}
	return h, nil
}

// Own opens the namespace that the process started in. It is not to be called
// inside Do.
//
// The path is that of the calling thread: /proc/self is the process's first
// thread, which may be inside another namespace just then, as any thread may.
func Own() (*Handle, error) { return Open("/proc/thread-self/ns/net") }

// openFile opens without the attempts of os.Open to poll the file, and without
// waiting where the path leads to a named pipe.
func openFile(path string) (*os.File, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if err := unix.SetNonblock(fd, false); err != nil {
			return nil, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, unix.Close(fd))
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

func newHandle(file *os.File) (*Handle, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
		return nil, fmt.Errorf("statfs: %w", err)
	}
	if fs.Type != unix.NSFS_MAGIC {
		return nil, ErrNotNetns
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	return &Handle{file: file, inode: st.Ino}, nil
}

// Inode identifies the namespace among those alive.
func (h *Handle) Inode() uint64 { return h.inode }

// FD is the open descriptor, for netlink attributes that take one
// (IFLA_NET_NS_FD); it stays owned by the handle.
func (h *Handle) FD() int { return int(h.file.Fd()) }

// Close lets the namespace go.
func (h *Handle) Close() error {
	if err := h.file.Close(); err != nil {
		return fmt.Errorf("close network namespace: %w", err)
	}
	return nil
}

// Do runs fn inside the namespace, on a thread of its own goroutine, and
// returns fn's error. fn must not start goroutines that rely on the namespace.
// A thread that cannot go back to where it came from is thrown away.
func (h *Handle) Do(fn func() error) error {
	result := make(chan error, 1)
	go func() { result <- h.inside(fn) }()
	return <-result
}

func (h *Handle) inside(fn func() error) error {
	runtime.LockOSThread()
	back, err := openFile("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("own network namespace: %w", err)
	}
	defer back.Close()
	if err := unix.Setns(h.FD(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	err = fn()
	if setErr := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); setErr != nil {
		// Returning while locked makes the runtime end the thread with this
		// goroutine: nobody else will ever run in the wrong namespace.
		return errors.Join(err, fmt.Errorf("leave network namespace: %w", setErr))
	}
	runtime.UnlockOSThread()
	return err
}
