// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// podSocketName is the name of the socket in a container's folder
// (memifdir.SocketName).
const podSocketName = "memif.sock"

// placeSocket puts VPP's socket into a container's folder, as a hard link: VPP, which
// follows links and is root, has nothing to do in a folder that a pod can write to.
// Whatever has the name there is replaced. Applications of any user may connect;
// they need the secret.
func placeSocket(socket, folder string) error {
	if err := os.Chmod(socket, 0o666); err != nil { //nolint:gosec // the folder around it is root's
		return fmt.Errorf("socket of VPP's: %w", err)
	}
	dir, err := openFolder(folder)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	const hidden = "." + podSocketName + ".new"
	if err := removeAt(dir, hidden); err != nil {
		return fmt.Errorf("%s/%s: %w", folder, hidden, err)
	}
	err = unix.Linkat(unix.AT_FDCWD, socket, dir, hidden, 0)
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("link %s into %s: %w (the run folder and the containers' folders must be in one file system)", socket, folder, err)
	}
	if err != nil {
		return fmt.Errorf("link %s into %s: %w", socket, folder, err)
	}
	err = unix.Renameat(dir, hidden, dir, podSocketName)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		if err = removeAt(dir, podSocketName); err == nil {
			err = unix.Renameat(dir, hidden, dir, podSocketName)
		}
	}
	if err != nil {
		return fmt.Errorf("put the socket into %s: %w", folder, err)
	}
	return nil
}

// isPlaced reports whether the folder has VPP's socket.
func isPlaced(socket, folder string) bool {
	dir, err := openFolder(folder)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	var there, ours unix.Stat_t
	if unix.Fstatat(dir, podSocketName, &there, unix.AT_SYMLINK_NOFOLLOW) != nil || unix.Lstat(socket, &ours) != nil {
		return false
	}
	return there.Ino == ours.Ino && there.Dev == ours.Dev
}

// unplaceSocket takes the socket out of the folder and away.
func unplaceSocket(socket, folder string) error {
	if folder != "" && isPlaced(socket, folder) {
		dir, err := openFolder(folder)
		if err == nil {
			err = removeAt(dir, podSocketName)
			_ = unix.Close(dir)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func openFolder(folder string) (int, error) {
	dir, err := unix.Open(folder, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("folder %s: %w", folder, err)
	}
	return dir, nil
}

// removeAt removes what has the name; a folder only if it is empty.
func removeAt(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
