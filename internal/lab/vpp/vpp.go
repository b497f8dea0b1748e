// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vpp knows how the lab runs VPP: where the program is, and what it is
// told to be.
package vpp

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ProgramEnv names the environment variable with the path of the program vpp, for
// one that is not on the PATH.
const ProgramEnv = "POLYNIC_VPP"

// maxSocketPath is the longest path of a unix socket (unix(7)), for VPP binds and
// connects by it.
const maxSocketPath = 107

// longestSocket is the longest of the sockets' names below a node's folder: a
// memif's in its container's folder.
const longestSocket = "/run/memif/bcdfghjklmnpqrstvwxz/memif.sock"

// Find gives the program that a lab runs: the one that POLYNIC_VPP names, else the
// one on the PATH.
func Find() (string, error) {
	given := os.Getenv(ProgramEnv)
	name := given
	if name == "" {
		name = "vpp"
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return filepath.Abs(path)
	case given != "":
		return "", fmt.Errorf("%s is %s, where no program is: %w", ProgramEnv, given, err)
	default:
		return "", fmt.Errorf("there is no VPP here (%w): install FD.io VPP 25.10 or 26.06, or say where the program vpp is "+
			"with %s=PATH, or give one that runs with --vpp-api SOCKET", err, ProgramEnv)
	}
}

// Node is a node's folder of VPP: its configuration and its sockets.
type Node string

// In is VPP's part of a node's folder.
func In(folder string) Node { return Node(filepath.Join(folder, "vpp")) }

// StartupConf is VPP's configuration file.
func (n Node) StartupConf() string { return filepath.Join(string(n), "startup.conf") }

// Sockets are where VPP serves: messages of the binary API, counters, and people.
type Sockets struct{ API, Stats, CLI string }

// Sockets are those of a VPP that the lab runs.
func (n Node) Sockets() Sockets { return Beside(filepath.Join(string(n), "api.sock")) }

// Beside are the sockets of a VPP of whom one is known: those that its packages'
// configuration puts beside it.
func Beside(api string) Sockets {
	return Sockets{API: api, Stats: filepath.Join(filepath.Dir(api), "stats.sock"), CLI: filepath.Join(filepath.Dir(api), "cli.sock")}
}

// Check says what keeps VPP from serving in a node's folder.
func Check(folder string) error {
	if n := len(folder + longestSocket); n > maxSocketPath {
		return fmt.Errorf("%s is too long a path for VPP's sockets, by %d characters: give a shorter --state", folder, n-maxSocketPath)
	}
	if strings.ContainsAny(folder, " \t\n{}") {
		return fmt.Errorf("%s: VPP's configuration takes no path with blanks or braces: give another --state", folder)
	}
	return nil
}

// segment tells the shared memory of one VPP on a machine from that of others.
func (n Node) segment() string {
	h := fnv.New64a()
	h.Write([]byte(n))
	return fmt.Sprintf("polynic-%016x", h.Sum64())
}

// shared is where shared memory is (shm_overview(7)).
const shared = "/dev/shm"

// Clean removes the shared memory that a VPP leaves that was killed.
func (n Node) Clean() error {
	left, err := filepath.Glob(filepath.Join(shared, n.segment()+"*"))
	for _, path := range left {
		if removeErr := os.Remove(path); !errors.Is(removeErr, os.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
