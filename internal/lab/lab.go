// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package lab runs polynic on one machine with no cluster: a background
// process, the daemon, plays kubelet for pods read from manifests, on a node
// that is a network namespace. This package is what the command line needs: it
// starts the daemon, speaks to it, runs commands in its pods, and tells and
// removes what there is, also when the daemon is dead. The daemon itself is
// package daemon.
package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/polynic/polynic/internal/lab/state"
)

// DefaultStateDir is where a lab keeps its state if nobody says where.
const DefaultStateDir = "/var/lib/polynic-lab"

// Names of the one node, its programs, and the namespaces.
const (
	NodeName     = "node1"
	OutsideName  = "outside"
	AgentProgram = "polynic-agent"
	RelayProgram = "polynic-relay"
	CNIProgram   = "polynic-cni"
	EtcdProgram  = "polynic-etcd"
)

// Records of the lab's own processes (state.Dir.Process).
const (
	DaemonRecord = "daemon"
	HolderRecord = "holder"
	AgentRecord  = "agent"
	RelayRecord  = "relay"
	VPPRecord    = "vpp"
	EtcdRecord   = "etcd"
)

// Errors that are told from others.
var (
	ErrNotRunning = errors.New("the lab is not running")
	ErrRunning    = errors.New("a lab runs already")
	ErrNoPod      = errors.New("there is no such pod")
	// ErrRefused means that at least one pod was refused; the events said why.
	ErrRefused = errors.New("not everything was done")
)

// checkMachine says what the machine lacks for a lab.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("the lab makes network namespaces, which takes root: run it with sudo")
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("the lab makes tap devices, which takes /dev/net/tun: %w (try `modprobe tun`)", err)
	}
	return tun.Close()
}

// checkPrograms sees that the other programs are beside this one.
func checkPrograms(self string) error {
	for _, name := range []string{RelayProgram, AgentProgram, CNIProgram} {
		if err := checkProgram(self, name); err != nil {
			return err
		}
	}
	return nil
}

// checkProgram sees that a program is beside this one.
func checkProgram(self, name string) error {
	st, err := os.Stat(filepath.Join(filepath.Dir(self), name))
	if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is missing beside %s; build every program with `make build`", name, self)
	}
	return nil
}

// open gives the lab in a state folder.
func open(stateDir string) (state.Dir, error) {
	dir, err := state.Open(stateDir)
	switch {
	case errors.Is(err, state.ErrNoLab):
		return "", fmt.Errorf("%w: %w", ErrNotRunning, err)
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("the lab at %s is root's: run this with sudo", stateDir)
	}
	return dir, err
}
