// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// groupEnv is the name of the machine's control group in each hierarchy.
const groupEnv = "POLYNIC_TEST_MACHINE_GROUP"

// groupPrefix is followed by the process id of who made it.
const groupPrefix = "polynic-test-"

// groupRoot is where the hierarchies are mounted.
const groupRoot = "/sys/fs/cgroup"

// hierarchy is one of the hierarchies of control groups, version 1, that this
// process is in.
type hierarchy struct {
	controllers string // as mount has them: cpu,cpuacct or name=systemd
	own         string // the folder of the group that this process is in
}

// folder is where the hierarchy is mounted, below groupRoot.
func (h hierarchy) folder() string { return strings.TrimPrefix(h.controllers, "name=") }

func hierarchies() ([]hierarchy, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	var all []hierarchy
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 3) // NUMBER:CONTROLLERS:PATH
		if len(fields) != 3 || fields[1] == "" {
			continue // version 2
		}
		h := hierarchy{controllers: fields[1]}
		h.own = filepath.Join(groupRoot, h.folder(), fields[2])
		if _, err := os.Stat(h.own); err == nil {
			all = append(all, h)
		}
	}
	has := func(controller string) bool {
		return slices.ContainsFunc(all, func(h hierarchy) bool { return slices.Contains(strings.Split(h.controllers, ","), controller) })
	}
	if !has("memory") || !has("cpu") || !has("cpuset") {
		return nil, fmt.Errorf("%s has no hierarchies of version 1 for memory, cpu and cpuset", groupRoot)
	}
	return all, nil
}

// groups are the machine's control groups, one in each hierarchy.
type groups struct {
	name string
	in   []hierarchy
}

// newGroups makes them, and removes those of machines that were killed.
func newGroups() (groups, error) {
	in, err := hierarchies()
	g := groups{name: fmt.Sprint(groupPrefix, os.Getpid()), in: in}
	for _, h := range in {
		stale, _ := filepath.Glob(filepath.Join(h.own, groupPrefix+"*"))
		for _, dir := range stale {
			if _, err := os.Stat("/proc/" + strings.TrimPrefix(filepath.Base(dir), groupPrefix)); err != nil {
				removeTree(dir)
			}
		}
		if err := os.Mkdir(filepath.Join(h.own, g.name), 0o755); err != nil {
			g.remove()
			return g, fmt.Errorf("control group: %w", err)
		}
	}
	return g, err
}

func (g groups) remove() {
	for _, h := range g.in {
		removeTree(filepath.Join(h.own, g.name))
	}
}

// removeTree removes a group with all below it, the lowest first. What is in
// use stays.
func removeTree(dir string) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		_ = unix.Rmdir(d)
	}
}

// enterGroups puts this process, and so all that it will start, into the groups.
func enterGroups(name string) error {
	in, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range in {
		dir := filepath.Join(h.own, name)
		if h.folder() == "cpuset" { // a new one has no CPU and no memory
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := copyFile(filepath.Join(h.own, file), filepath.Join(dir, file)); err != nil {
					return fmt.Errorf("control group: %w", err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// mountGroups mounts the hierarchies below a folder, as this process's namespace
// of control groups shows them.
func mountGroups(root string) error {
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 || fields[1] == "" {
			continue
		}
		h := hierarchy{controllers: fields[1]}
		dir := filepath.Join(root, h.folder())
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("control groups: %w", err)
		}
		if err := unix.Mount("cgroup", dir, "cgroup", 0, h.controllers); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
}
