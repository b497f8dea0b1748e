// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package openfiles says which limit was met where no more files can be
// opened, and lets that be told from other errors across processes.
package openfiles

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrLimit means that a process, or the machine, can open no more files now.
// The same may succeed later.
var ErrLimit = errors.New("the limit of open files is reached")

// Explain names the limit in an error that comes of too many open files in the
// calling program, and has it wrap ErrLimit. Every other error, and nil, is
// returned as it is.
func Explain(program string, err error) error {
	switch {
	case errors.Is(err, ErrLimit):
		return err
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: %w: the machine's fs.file-max", err, ErrLimit)
	case !errors.Is(err, unix.EMFILE):
		return err
	}
	var limit unix.Rlimit
	if limitErr := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); limitErr != nil {
		return fmt.Errorf("%w: %w: that of %s", err, ErrLimit, program)
	}
	return fmt.Errorf("%w: %w: %s may have %d (RLIMIT_NOFILE)", err, ErrLimit, program, limit.Cur)
}
