// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"strconv"
	"syscall"

	"github.com/polynic/polynic/api/cniwire"
)

const (
	// maxSocketPath is the longest path that fits into sockaddr_un with its
	// final zero.
	maxSocketPath = 107
	// oPath is O_PATH (asm-generic/fcntl.h), which package syscall lacks.
	oPath = 0x200000
)

// exchange sends the request and reads the reply. Its error is a
// *cniwire.VersionError from an agent of another version.
func exchange(path string, request cniwire.Request, until deadline) (cniwire.Reply, error) {
	message, err := cniwire.AppendRequest(nil, request)
	if err != nil {
		return cniwire.Reply{}, err
	}
	c, err := dial(path, until)
	if err != nil {
		return cniwire.Reply{}, err
	}
	defer syscall.Close(c.fd)
	// An agent of another version answers without reading to the end, so there
	// may be a reply although the request did not get through; where there is
	// none, reading fails for the same reason.
	_, _ = c.Write(message)
	reply, err := cniwire.ReadReply(c)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errClosed
	}
	return reply, err
}

// conn is a connected stream socket, whose waits end with a deadline.
type conn struct {
	fd    int
	until deadline
}

func dial(path string, until deadline) (conn, error) {
	name := path
	if len(path) > maxSocketPath {
		slash := len(path) - 1
		for path[slash] != '/' { // it is absolute
			slash--
		}
		dir, err := syscall.Open(path[:slash+1], oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return conn{}, err
		}
		defer syscall.Close(dir)
		name = "/proc/self/fd/" + strconv.Itoa(dir) + path[slash:]
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return conn{}, err
	}
	c := conn{fd: fd, until: until}
	err = c.retry(syscall.SO_SNDTIMEO, func() error {
		return syscall.Connect(fd, &syscall.SockaddrUnix{Name: name})
	})
	if err != nil {
		syscall.Close(fd)
		return conn{}, err
	}
	return c, nil
}

// Read implements io.Reader.
func (c conn) Read(p []byte) (n int, err error) {
	err = c.retry(syscall.SO_RCVTIMEO, func() error {
		n, err = syscall.Read(c.fd, p)
		return err
	})
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// Write implements io.Writer.
func (c conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		err := c.retry(syscall.SO_SNDTIMEO, func() error {
			n, err := syscall.Write(c.fd, p[done:])
			done += max(n, 0)
			return err
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// retry makes one system call, again where a signal broke it off, and gives it
// what is left of the deadline as the timeout that option names.
func (c conn) retry(option int, call func() error) error {
	for {
		left, err := c.until.left()
		if err != nil {
			return err
		}
		if err := syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, option, &left); err != nil {
			return err
		}
		switch err := call(); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN): // the timeout
			return errTimeout
		default:
			return err
		}
	}
}
