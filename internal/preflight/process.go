// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities of agent and relay; a test compares them with the
// manifests.
func needed() map[string]uint {
	return map[string]uint{
		"DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "NET_ADMIN": unix.CAP_NET_ADMIN, "NET_BROADCAST": unix.CAP_NET_BROADCAST,
		"SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_CHROOT": unix.CAP_SYS_CHROOT, "SYS_PTRACE": unix.CAP_SYS_PTRACE,
	}
}

// capabilities are those that this process may have at most: what a node's root
// or a container's was given.
func (c Config) capabilities() Finding {
	f := Finding{Check: "capabilities", Level: OK, Found: "all that agent and relay need"}
	bounding, err := c.boundingSet()
	if err != nil {
		f.Level, f.Found = Missing, err.Error()
		return f
	}
	var lacking []string
	for name, number := range needed() {
		if bounding&(1<<number) == 0 {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		slices.Sort(lacking)
		f.Level, f.Found = Missing, "without "+strings.Join(lacking, ", ")
		f.Advice = "run this on the node itself, or with the capabilities of the manifests; a node that is a container needs them from its own runtime"
	}
	return f
}

func (c Config) boundingSet() (uint64, error) {
	text, err := os.ReadFile(filepath.Join(c.Proc, "self", "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if set, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(set), 16, 64)
		}
	}
	return 0, fmt.Errorf("%s/self/status says nothing of capabilities", c.Proc)
}

// shared reports whether mounts below a folder come into containers.
func (c Config) shared(what, dir string) Finding {
	f := Finding{Check: what, Level: OK}
	mount, isShared, err := c.mountOf(dir)
	switch {
	case err != nil:
		f.Level, f.Found, f.Advice = Missing, err.Error(), "run this with the node's process namespace (hostPID)"
	case !isShared:
		f.Level, f.Found = Missing, fmt.Sprintf("%s is on %s, which is not a shared mount: what is mounted below it does not come into the agent's container", dir, mount)
		f.Advice = fmt.Sprintf("mount --make-shared %s, before kubelet starts", mount)
	default:
		f.Found = fmt.Sprintf("%s is on %s, a shared mount", dir, mount)
	}
	return f
}

// mountOf finds the mount of process 1 that a folder is on (proc(5),
// mountinfo: the fifth field is the mount point, the seventh and those after it
// are optional until a dash).
func (c Config) mountOf(dir string) (point string, isShared bool, err error) {
	path := filepath.Join(c.Proc, "1", "mountinfo")
	file, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		const mountPoint, optional = 4, 6
		if len(fields) <= optional {
			continue
		}
		at := fields[mountPoint]
		if dir != at && at != "/" && !strings.HasPrefix(dir, at+"/") || len(at) < len(point) {
			continue
		}
		options := fields[optional:]
		options = options[:max(0, slices.Index(options, "-"))]
		point = at
		isShared = slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "shared:") })
	}
	if err := lines.Err(); err != nil {
		return "", false, err
	}
	if point == "" {
		return "", false, fmt.Errorf("%s has no mount for %s", path, dir)
	}
	return point, isShared, nil
}
