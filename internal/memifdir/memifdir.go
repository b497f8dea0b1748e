// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package memifdir makes, fills and removes the private folders that containers
// with memif interfaces see at /run/vpp: the memif socket is in it, and a file
// that says what there is.
//
// A container may write to its folder, because a VPP in it puts its own sockets
// there. So what is in a folder is the container's, and hostile: it is reached
// through the folder's descriptor by openat2(2) with RESOLVE_BENEATH, no link is
// ever followed, and nothing outside the folder depends on it. The folder above
// is for root alone, so a folder cannot be exchanged for something else.
package memifdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// What a container sees.
const (
	// MountPath is where the folder is mounted.
	MountPath = "/run/vpp"
	// SocketName is the memif socket's name in the folder.
	SocketName = "memif.sock"
	// SocketVariable and SecretVariable are the environment variables that hold
	// the socket's path in the container and its secret.
	SocketVariable = "MEMIF_SOCKET"
	SecretVariable = "MEMIF_SECRET"
	// SocketPath is the value of SocketVariable.
	SocketPath = MountPath + "/" + SocketName
)

// folderMode lets every user of the container make files of its own in the
// folder, and remove nobody else's.
const folderMode = unix.S_ISVTX | 0o777

// ErrMissing is wrapped by errors that say that a folder is not there.
const ErrMissing = model.Refusal("its memif folder is missing (delete the pod, so that it gets another)")

// Dir is the folder that holds all of them, for root alone.
type Dir string

// Path is where the folder of an allocation is.
func (d Dir) Path(id string) string { return filepath.Join(string(d), id) }

// Given is the folder, beside that of the folders, of notes on whose they are.
func (d Dir) Given() string { return string(d) + "-given" }

// Make makes the folder of an allocation. One that is there is kept, with all
// that is in it, and gets the right mode: container runtimes make folders that
// are missing.
func (d Dir) Make(id string) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("memif folder: %w", err)
	}
	err := d.within(id, func(all *os.File) error {
		if err := unix.Mkdirat(int(all.Fd()), id, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		folder, err := openFolder(all, id)
		if err != nil {
			return err
		}
		defer folder.Close()
		return unix.Fchmod(int(folder.Fd()), folderMode) // whatever the umask says
	})
	if err != nil {
		return fmt.Errorf("memif folder %s: %w", d.Path(id), err)
	}
	return nil
}

// Check reports whether the folder of an allocation is there; the error wraps
// ErrMissing where it is not.
func (d Dir) Check(id string) error {
	folder, err := d.open(id)
	if err != nil {
		return err
	}
	return folder.Close()
}

// List gives the ids of the folders that are there.
func (d Dir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("memif folders: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// open opens the folder of an allocation.
func (d Dir) open(id string) (*os.File, error) {
	var folder *os.File
	err := d.within(id, func(all *os.File) (err error) {
		folder, err = openFolder(all, id)
		return err
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("memif folder %s: %w", d.Path(id), ErrMissing)
	case err != nil:
		return nil, fmt.Errorf("memif folder %s: %w", d.Path(id), err)
	}
	return folder, nil
}

// within opens the folder above.
func (d Dir) within(id string, use func(all *os.File) error) error {
	if id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\x00") {
		return fmt.Errorf("%q is not the name of a folder", id)
	}
	all, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer all.Close()
	return use(all)
}

// safely is how anything in a folder is opened: without links, and without
// leaving the folder or its file system.
const safely = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

func openFolder(above *os.File, name string) (*os.File, error) {
	return openAt(above, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

func openAt(folder *os.File, name string, flags, mode uint64) (*os.File, error) {
	for {
		fd, err := unix.Openat2(int(folder.Fd()), name, &unix.OpenHow{
			Flags: flags | unix.O_CLOEXEC, Mode: mode, Resolve: safely,
		})
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		// EAGAIN: something was renamed meanwhile (openat2(2)).
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
}
