// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/manifest"
)

// isManifest reports whether a file of a folder is read: by its ending, and not
// hidden (editors and writers that rename keep their drafts so).
func isManifest(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// openFile opens a manifest; where there is none, which is also where a folder
// or a pipe has its name, the error is fs.ErrNotExist.
func openFile(path string) (*os.File, error) {
	// Opening must not wait for the writer of a named pipe.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// readFile reads a manifest. The error is errBeingWritten while a writer has it
// open. A file that is too long comes back longer than manifest.Read takes.
func readFile(path string) ([]byte, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if isBeingWritten(file) {
		return nil, fmt.Errorf("%s: %w", path, errBeingWritten)
	}
	return io.ReadAll(io.LimitReader(file, manifest.MaxInput+1))
}

// readClosed reads a manifest whose writer was heard to close it. Linux tells
// of that a moment before it stops to count the writer (seen with 5 of 400
// files written in place).
func readClosed(path string) ([]byte, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, manifest.MaxInput+1))
}

// isBeingWritten reports whether anybody has the file open for writing, which
// Linux tells to whoever wants a read lease (F_SETLEASE in fcntl(2)). Where
// there are no leases (a network file system, a file of somebody else) the
// answer is no.
func isBeingWritten(file *os.File) bool {
	_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing would end it too
	}
	return errors.Is(err, unix.EAGAIN)
}
