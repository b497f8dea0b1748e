// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/netns"
)

// survey is what a lab has, to see afterwards that it is gone.
type survey struct {
	processes  []process.ID
	namespaces []namespace
}

// namespace identifies a network namespace. Inodes are given out again, cookies
// (SO_NETNS_COOKIE) are not.
type namespace struct{ inode, cookie uint64 }

func look(ctx context.Context, stateDir string) (survey, error) {
	status, err := lab.ReadStatus(ctx, stateDir)
	if err != nil {
		return survey{}, err
	}
	pids := []int{status.Daemon.PID}
	paths := []string{status.Outside.Path}
	for _, n := range status.Nodes {
		pids = append(pids, n.Holder.PID, n.Agent.PID, n.Relay.PID)
		if n.VPP != nil {
			pids = append(pids, n.VPP.PID)
		}
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
		ns, err := namespaceAt(path)
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
	for ns, who := range left {
		errs = append(errs, fmt.Errorf("network namespace %d is left: in it is %s", ns.cookie, who))
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

// namespacesLeft gives the namespaces that processes are in, and one of these. It
// looks a few times: whoever goes through namespaces of the machine is in each of
// them for a moment.
func (s survey) namespacesLeft() (map[namespace]string, error) {
	const looks, pause = 40, 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	left := s.namespaces
	for look := 1; ; look++ {
		inUse, err := usedNamespaces(left)
		if err != nil || len(inUse) == 0 || look == looks {
			return inUse, err
		}
		left = slices.Collect(maps.Keys(inUse))
		<-tick.C
	}
}

// usedNamespaces lists those of some namespaces that processes are in. Others are
// not entered, lest two who look keep each other's.
func usedNamespaces(of []namespace) (map[namespace]string, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	used := map[namespace]string{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue // the process may have ended
		}
		inode := info.Sys().(*syscall.Stat_t).Ino
		if !slices.ContainsFunc(of, func(ns namespace) bool { return ns.inode == inode }) {
			continue
		}
		if ns, err := namespaceAt(path); err == nil && slices.Contains(of, ns) {
			pid := strings.Split(path, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm") // it is for people
			used[ns] = fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(name)))
		}
	}
	return used, nil
}

func namespaceAt(path string) (namespace, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return namespace{}, err
	}
	defer ns.Close()
	found := namespace{inode: ns.Inode()}
	err = ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		found.cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	if err != nil {
		return namespace{}, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return found, nil
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
