// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// makeMountPoint makes an empty file to mount another one on.
func makeMountPoint(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, fileMode)
	if err != nil {
		return err
	}
	return file.Close()
}

// writeFiles writes what a container runtime would. A file that the machine
// has is replaced, since it may be a link to somewhere else.
func (s Spec) writeFiles() error {
	for path, content := range s.Files {
		if slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Target == path }) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.WriteFile(path, []byte(content), fileMode); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
