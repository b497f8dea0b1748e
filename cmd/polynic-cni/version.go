// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"slices"
	"syscall"
)

// version is set by the build.
var version string

// isVersionAsked reports whether a person asks for the version: --version is the
// first argument. Runtimes give none. Without package os the kernel knows them.
func isVersionAsked() bool {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	line := make([]byte, 4<<10)
	n, err := syscall.Read(fd, line)
	if err != nil {
		return false
	}
	program := slices.Index(line[:n], 0) + 1 // each ends in a zero
	first := line[program:n]
	if end := slices.Index(first, 0); end >= 0 {
		first = first[:end]
	}
	return string(first) == "--version" || string(first) == "-version"
}

// versionLine is as those of the other programs.
func versionLine() []byte {
	v := version
	if v == "" {
		v = "(devel)"
	}
	return []byte("polynic-cni " + v + " (" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")\n")
}
