// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/test/isolate"
)

// staging is where the new root is built: a folder that every machine has, and
// nobody needs meanwhile.
const staging = "/mnt"

// mount is a mount to make.
type mount struct {
	from, to, kind string
	flags          uintptr
	options        string
}

func (m mount) make() error {
	if err := os.MkdirAll(m.to, 0o755); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Mount(m.from, m.to, m.kind, m.flags, m.options); err != nil {
		return fmt.Errorf("mount %s: %w", m.to, err)
	}
	return nil
}

func makeAll(mounts ...mount) error {
	for _, m := range mounts {
		if err := m.make(); err != nil {
			return err
		}
	}
	return nil
}

// furnish gives this process, and all in its mount namespace, the machine's root.
// Mounts made in it are shared within, as kubelet needs, and with nobody outside.
func furnish() error {
	binds, err := outerMounts()
	if err != nil {
		return err
	}
	root, err := copyRoot()
	if err != nil {
		return err
	}
	for _, path := range binds {
		if err := (mount{path, filepath.Join(root, path), "", unix.MS_BIND | unix.MS_REC, ""}).make(); err != nil {
			return err
		}
	}
	if err := makeAll(
		mount{"proc", root + "/proc", "proc", 0, ""},
		mount{"sysfs", root + "/sys", "sysfs", 0, ""},
		mount{"tmpfs", root + "/run", "tmpfs", 0, "mode=755"},
		// Overlays, as of containers, cannot be written to one.
		mount{"tmpfs", root + "/var/lib/containerd", "tmpfs", 0, "mode=700"},
	); err != nil {
		return err
	}
	if err := enter(root); err != nil {
		return err
	}
	if err := mountGroups(groupRoot); err != nil {
		return err
	}
	if err := pretendSettings(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return isolate.LoopbackUp()
}

// copyRoot mounts a copy of the root file system that is written to memory.
func copyRoot() (path string, err error) {
	if err := makeAll(
		mount{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		mount{"tmpfs", staging, "tmpfs", 0, "mode=755"},
	); err != nil {
		return "", err
	}
	for _, dir := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(staging, dir), 0o755); err != nil {
			return "", fmt.Errorf("root: %w", err)
		}
	}
	path = filepath.Join(staging, "root")
	return path, mount{"overlay", path, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%[1]s/work", staging)}.make()
}

// enter makes a folder the root of everybody in this mount namespace. The
// working directory is the same one in it.
func enter(root string) error {
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return unix.Chdir(here)
}

// outerMounts are the mounts of this machine, beside its root, that the tests
// should see as they are: devices, and disks that the tree may lie on. What is
// mounted on files, or below /tmp, is other tests'.
func outerMounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mounts: %w", err)
	}
	var paths []string
	for line := range strings.Lines(string(data)) {
		path := strings.Fields(line)[4]
		info, err := os.Stat(path)
		skip := err != nil || !info.IsDir() || path == "/" || strings.HasPrefix(path, "/tmp/")
		for _, other := range append(paths, "/proc", "/sys", "/run", staging) {
			skip = skip || path == other || strings.HasPrefix(path, other+"/")
		}
		if !skip {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// pretendSettings shows kubelet the kernel's settings as it wants them, for it
// would make them so for everybody on the real machine.
func pretendSettings() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0",
		"kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join("/run/settings", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("settings: %s: %w", name, err)
		}
	}
	return nil
}
