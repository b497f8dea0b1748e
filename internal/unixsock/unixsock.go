// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package unixsock listens on and connects to unix sockets at paths of any
// length. A socket address holds 107 bytes; a longer path goes through
// /proc/self/fd/N of its folder.
package unixsock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPath is the longest path that fits into sockaddr_un with its final zero.
const maxPath = 107

// ErrInUse means that somebody listens at the path already.
var ErrInUse = errors.New("somebody listens there already")

// Listen makes a socket at path with the permission bits of mode and listens.
// A socket left behind by a process that is gone is replaced; one that
// somebody answers is not, and the error wraps ErrInUse. Closing the listener
// removes the socket file.
func Listen(ctx context.Context, path string, mode os.FileMode) (net.Listener, error) {
	s, err := listen(ctx, path, mode)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func listen(ctx context.Context, path string, mode os.FileMode) (*socket, error) {
	if conn, err := Dial(ctx, path); err == nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, ErrInUse), conn.Close())
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("socket %s: a file that is not a socket is there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	var listener net.Listener
	err := withShortPath(path, func(short string) error {
		var config net.ListenConfig
		var err error
		listener, err = config.Listen(ctx, "unix", short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if unixListener, ok := listener.(*net.UnixListener); ok {
		unixListener.SetUnlinkOnClose(false) // the short path means nothing by then
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return &socket{Listener: listener, path: path}, nil
}

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var conn net.Conn
	err := withShortPath(path, func(short string) error {
		var dialer net.Dialer
		var err error
		conn, err = dialer.DialContext(ctx, "unix", short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return conn, nil
}

type socket struct {
	net.Listener
	path string
}

// Close stops listening and removes the socket file.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if removeErr := os.Remove(s.path); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

func withShortPath(path string, use func(string) error) error {
	if len(path) <= maxPath {
		return use(path)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	defer unix.Close(dir)
	return use("/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path))
}
