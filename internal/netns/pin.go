// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// Pins keep namespaces alive by bind mounts on files. The zero value makes them
// in the caller's own mount namespace.
type Pins struct {
	// MountNamespace is where the mounts are made, a path such as
	// /proc/1/ns/mnt. A mount that a container makes in its own is seen nowhere
	// else, and goes with the container. One made in the node's comes into the
	// container where its folder is a mount that receives them (HostToContainer).
	// Paths mean the same in both.
	MountNamespace string
}

// Pin makes a new network namespace and keeps it alive by a bind mount on
// path, in the caller's mount namespace.
func Pin(path string) error { return Pins{}.Pin(path) }

// Unpin undoes Pin.
func Unpin(path string) error { return Pins{}.Unpin(path) }

// Pin makes a new network namespace and mounts it on path. The folder is made
// if it is missing. Where the path already holds a namespace, that one is kept.
func (p Pins) Pin(path string) error {
	h, err := Open(path)
	switch {
	case err == nil:
		return h.Close()
	case !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotNetns):
		return err
	}
	err = p.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		return mount("/proc/thread-self/ns/net", path)
	})
	if err != nil {
		return fmt.Errorf("pin network namespace %s: %w", path, err)
	}
	return p.seen(path)
}

// PinOpen mounts an open namespace on path, in place of what is there.
func (p Pins) PinOpen(h *Handle, path string) error {
	if err := p.Unpin(path); err != nil {
		return err
	}
	err := p.do(func() error { return mount(fmt.Sprintf("/proc/thread-self/fd/%d", h.FD()), path) })
	if err != nil {
		return fmt.Errorf("pin network namespace %s: %w", path, err)
	}
	return p.seen(path)
}

// Pinned reports whether the path leads to the namespace.
func (h *Handle) Pinned(path string) bool {
	found, err := OpenExact(model.Netns{Path: path, Inode: h.inode})
	return err == nil && found.Close() == nil
}

// Unpin undoes Pin; a path that holds nothing is no error. The namespace lives
// on as long as a process or an open file is in it.
func (p Pins) Unpin(path string) error {
	err := p.do(func() error {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount: %w", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("unpin network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin network namespace: %w", err)
	}
	return nil
}

// seen takes back a mount made elsewhere that does not come here, and says so.
func (p Pins) seen(path string) error {
	if p.MountNamespace == "" {
		return nil
	}
	h, err := Open(path)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: it was mounted in %s, and that mount does not come here; mount the folder with "+
			"mountPropagation HostToContainer, and on the node below a shared mount", err, p.MountNamespace), p.Unpin(path))
	}
	return h.Close()
}

// mount makes the file that path needs, and binds source to it. A failed mount
// leaves no file behind.
func mount(source, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	point, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	if err := point.Close(); err != nil {
		return err
	}
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("bind mount: %w", err), os.Remove(path))
	}
	return nil
}

// do runs fn in the mount namespace, on a thread of its own that never returns
// from there, nor from whatever other namespaces fn takes it into.
func (p Pins) do(fn func() error) error {
	return OnSpareThread(func() error {
		if p.MountNamespace == "" {
			return fn()
		}
		ns, err := openFile(p.MountNamespace)
		if err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		defer ns.Close()
		// Threads share root and working folder, which entering would change.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare root folder: %w", err)
		}
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter mount namespace %s: %w", p.MountNamespace, err)
		}
		return fn()
	})
}

// OnSpareThread runs fn on a thread that ends with it, and so may be left in
// whatever namespaces fn takes it into.
func OnSpareThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the goroutine ends while locked, and with it the thread
		if unix.Gettid() != unix.Getpid() {
			result <- fn()
			return
		}
		// The runtime never ends a process's first thread. As long as this
		// goroutine has it, another one gets another.
		defer runtime.UnlockOSThread()
		result <- OnSpareThread(fn)
	}()
	return <-result
}
