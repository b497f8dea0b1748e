// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// buildRoot makes the caller's mount namespace the container's: the machine's
// files, copy-on-write, with the container's own mounts over them. Nothing is
// ever written to the machine's files, not even a mount point; what is written
// goes to a tmpfs that vanishes with the namespace.
//
// Sources are opened before the old root is left, because their links mean the
// machine's files; everything else is done after, because links below the new
// root mean the container's.
func (s Spec) buildRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	sources, err := s.openSources()
	if err != nil {
		return err
	}
	root, err := overlayMachine(s.scratch())
	if err != nil {
		return err
	}
	if err := mountKernel(root); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	// The old root ends up over the new one (pivot_root(2), "." "."): sources
	// can still be mounted from it, and "/" means the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	if err := s.mountVolumes(sources); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return s.writeFiles()
}

// openSources opens what the mounts show, in their order.
func (s Spec) openSources() ([]int, error) {
	var sources []int
	for _, m := range s.Mounts {
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %s: %w", m.Target, m.Source, err)
		}
		sources = append(sources, fd)
	}
	return sources, nil
}

// mountVolumes mounts outer targets before those inside them.
func (s Spec) mountVolumes(sources []int) error {
	order := make([]int, len(s.Mounts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(s.Mounts[a].Target, s.Mounts[b].Target) })
	for _, i := range order {
		if err := s.Mounts[i].mount(sources[i]); err != nil {
			return fmt.Errorf("mount %s: %w", s.Mounts[i].Target, err)
		}
	}
	return nil
}

func (m Mount) mount(source int) error {
	var st unix.Stat_t
	err := unix.Fstat(source, &st)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = os.MkdirAll(m.Target, folderMode)
	} else {
		err = makeMountPoint(m.Target)
	}
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", source)
	if err := unix.Mount(path, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	return unix.Mount("", m.Target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}
