// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/polynic/polynic/api/cniwire"
)

var (
	errTimeout = errors.New("nothing came in time")
	errClosed  = errors.New("it closed the connection without a reply")
)

// deadline bounds what polynic-cni waits for, all together. It reads the wall
// clock, because the monotonic one is to be had from package time alone; after
// a step of the clock a single wait is still bounded by the whole.
type deadline struct {
	end, whole int64 // nanoseconds
}

func in(milliseconds int64) deadline {
	whole := milliseconds * 1e6
	return deadline{end: now() + whole, whole: whole}
}

// left is errTimeout when the time is over.
func (d deadline) left() (syscall.Timeval, error) {
	left := min(d.end-now(), d.whole)
	if left <= 0 {
		return syscall.Timeval{}, errTimeout
	}
	return syscall.NsecToTimeval(left), nil
}

func now() int64 {
	var tv syscall.Timeval
	if err := syscall.Gettimeofday(&tv); err != nil {
		return 0 // it has no error but a bad pointer
	}
	return tv.Nano()
}

// readStdin reads to the end of the standard input, or to more than
// cniwire.MaxStdin bytes, which is a *cniwire.BoundError.
func readStdin(until deadline) ([]byte, error) {
	data := make([]byte, 0, 4<<10)
	for len(data) <= cniwire.MaxStdin {
		left, err := until.left()
		if err != nil {
			return nil, err
		}
		var set syscall.FdSet
		set.Bits[0] = 1 << syscall.Stdin
		ready, err := syscall.Select(syscall.Stdin+1, &set, nil, nil, &left)
		if ready == 0 || errors.Is(err, syscall.EINTR) {
			continue // the deadline decides
		}
		n := 0
		if err == nil {
			data = slices.Grow(data, 1)
			n, err = syscall.Read(syscall.Stdin, data[len(data):cap(data)])
		}
		switch {
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN):
		case err != nil:
			return nil, err
		case n == 0:
			return data, nil
		default:
			data = data[:len(data)+n]
		}
	}
	return nil, &cniwire.BoundError{Field: "it", Max: cniwire.MaxStdin}
}

// write writes all of data to a blocking file.
func write(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data = data[n:]
	}
	return nil
}
