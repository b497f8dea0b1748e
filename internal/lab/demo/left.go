// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/netns"
)

// survey is what a lab has, to see afterwards that it is gone.
type survey struct {
	processes []process.ID
	// namespaces are its network namespaces, by their cookies.
	namespaces []uint64
}

func look(ctx context.Context, stateDir string) (survey, error) {
	status, err := lab.ReadStatus(ctx, stateDir)
	if err != nil {
		return survey{}, err
	}
	pids := []int{status.Daemon.PID}
	paths := []string{status.Outside.Path}
	for _, n := range status.Nodes {
		pids = append(pids, n.Holder.PID, n.Agent.PID, n.Relay.PID)
		paths = append(paths, n.Path)
	}
	for _, p := range status.Pods {
		paths = append(paths, p.Netns)
		for _, c := range p.Containers {
			pids = append(pids, c.PID)
		}
	}
	var s survey
	for _, pid := range pids {
		id, err := process.Of(pid)
		if err != nil {
			return survey{}, err
		}
		s.processes = append(s.processes, id)
	}
	for _, path := range paths {
		ns, err := cookie(path)
		if err != nil {
			return survey{}, err
		}
		s.namespaces = append(s.namespaces, ns)
	}
	return s, nil
}

// isGone checks that nothing of the survey exists, and that the machine has the
// links that it had.
func (s survey) isGone(w io.Writer, before []string) error {
	var errs []error
	for _, id := range s.processes {
		if id.Alive() {
			errs = append(errs, fmt.Errorf("process %d is left", id.PID))
		}
	}
	fmt.Fprintf(w, "processes left: %d of %d\n", len(errs), len(s.processes))
	left, err := s.namespacesLeft()
	if err != nil {
		return err
	}
	for _, ns := range left {
		errs = append(errs, fmt.Errorf("network namespace %d is left", ns))
	}
	fmt.Fprintf(w, "network namespaces left: %d of %d\n", len(left), len(s.namespaces))
	after, err := machineLinks()
	if err != nil {
		return err
	}
	if slices.Equal(before, after) {
		fmt.Fprintf(w, "links of the machine: %s, as before\n", strings.Join(after, " "))
	} else {
		errs = append(errs, fmt.Errorf("the machine's links were %s, and are %s", strings.Join(before, " "), strings.Join(after, " ")))
	}
	return errors.Join(errs...)
}

// namespacesLeft looks a few times: whoever goes through all namespaces of the
// machine, as this does, is in each of them for a moment.
func (s survey) namespacesLeft() ([]uint64, error) {
	const looks, pause = 20, 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	left := slices.Clone(s.namespaces)
	for range looks {
		inUse, err := usedNamespaces()
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, func(ns uint64) bool { return !slices.Contains(inUse, ns) })
		if len(left) == 0 {
			break
		}
		<-tick.C
	}
	return left, nil
}

// usedNamespaces lists the network namespaces that processes are in, by their
// cookies.
func usedNamespaces() ([]uint64, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var cookies []uint64
	for _, path := range paths {
		if ns, err := cookie(path); err == nil { // the process may have ended
			cookies = append(cookies, ns)
		}
	}
	return cookies, nil
}

// cookie identifies a network namespace for good (SO_NETNS_COOKIE); inodes are
// given out again.
func cookie(path string) (uint64, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	var value uint64
	err = ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		value, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return value, nil
}

// machineLinks lists the links in the machine's own network namespace.
func machineLinks() ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("links of the machine: %w", err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return names, nil
}
