// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// overlayMachine shows the machine's files copy-on-write below a folder, with
// a tmpfs for what is written, and returns the new root. Every file system of
// the machine is laid over by itself, because an overlay does not look into
// the mounts below it.
func overlayMachine(scratch string) (string, error) {
	mounts, err := machineMounts(scratch)
	if err != nil {
		return "", err
	}
	if err := unix.Mount("scratch", scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return "", fmt.Errorf("mount tmpfs: %w", err)
	}
	root := filepath.Join(scratch, "root")
	if err := os.Mkdir(root, folderMode); err != nil {
		return "", err
	}
	// Paths in an overlay's options must not hold commas or colons; relative
	// ones do not.
	if err := os.Chdir(scratch); err != nil {
		return "", err
	}
	for i, path := range mounts {
		target := filepath.Join(root, path)
		if strings.HasPrefix(path, "/dev/") { // terminals, queues: the kernel's, not files
			err = unix.Mount(path, target, "", unix.MS_BIND, "")
		} else {
			err = overlay(fmt.Sprintf("%d", i), path, target)
		}
		if err != nil && path == "/" {
			return "", fmt.Errorf("overlay the machine's files: %w (the kernel needs overlayfs)", err)
		}
		if err != nil { // some file systems cannot be laid over
			err = bindReadOnly(path, target)
		}
		if err != nil {
			return "", fmt.Errorf("show %s: %w", path, err)
		}
	}
	return root, nil
}

func overlay(name, path, target string) error {
	for _, folder := range []string{"lower", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(name, folder), folderMode); err != nil {
			return err
		}
	}
	lower := filepath.Join(name, "lower")
	if err := unix.Mount(path, lower, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", name)
	return unix.Mount("overlay", target, "overlay", 0, options)
}

func bindReadOnly(path, target string) error {
	if err := unix.Mount(path, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// machineMounts lists the mount points that hold files, "/" first.
func machineMounts(scratch string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var mounts []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		path, kind, ok := parseMount(lines.Text())
		if ok && holdsFiles(path, kind) && path != scratch && !slices.Contains(mounts, path) {
			mounts = append(mounts, path)
		}
	}
	slices.Sort(mounts)
	return mounts, lines.Err()
}

// parseMount reads mount point and type of a line of proc_pid_mountinfo(5).
func parseMount(line string) (path, kind string, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, types := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 5 || len(types) < 1 {
		return "", "", false
	}
	return unescape.Replace(fields[4]), types[0], true
}

// unescape undoes what the kernel does to white space in paths.
//
//nolint:gochecknoglobals // a table
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// holdsFiles leaves out what a container gets anew and what is no place for
// files, or may hang when it is touched.
func holdsFiles(path, kind string) bool {
	for _, own := range []string{"/proc", "/sys", "/dev/shm"} {
		if path == own || strings.HasPrefix(path, own+"/") {
			return false
		}
	}
	switch kind {
	case "autofs", "nsfs", "binfmt_misc", "rpc_pipefs", "nfsd":
		return false
	}
	return !strings.HasPrefix(kind, "fuse")
}

// mountKernel mounts what the kernel offers anew in the namespaces of the
// caller, below the new root.
func mountKernel(root string) error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"proc", "/proc", "proc", safe},
		{"sysfs", "/sys", "sysfs", safe | unix.MS_RDONLY},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
	}
	for _, m := range mounts {
		if _, err := os.Stat(m.target); err != nil {
			continue // a machine without shared memory
		}
		if err := unix.Mount(m.source, root+m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}
