// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Pin makes a new network namespace and keeps it alive by a bind mount on
// path, in the caller's mount namespace. The folder is made if it is missing.
// Where the path already holds a namespace, that one is kept.
func Pin(path string) error {
	h, err := Open(path)
	switch {
	case err == nil:
		return h.Close()
	case !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotNetns):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	mountPoint, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	if err := mountPoint.Close(); err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	own, err := Own()
	if err != nil {
		return err
	}
	defer own.Close()
	// Do brings the thread back from wherever fn took it, here into the new
	// namespace. Ending the thread instead would not do: the runtime never ends
	// a process's first thread, which would hold the namespace for good.
	err = own.Do(func() error { return pinNew(path) })
	if err != nil {
		return errors.Join(fmt.Errorf("pin network namespace %s: %w", path, err), os.Remove(path))
	}
	return nil
}

func pinNew(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind mount: %w", err)
	}
	return nil
}

// Unpin undoes Pin; a path that holds nothing is no error. The namespace lives
// on as long as a process or an open file is in it.
func Unpin(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin network namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin network namespace: %w", err)
	}
	return nil
}
