// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
)

// procSys is where the kernel's settings are, unless the driver is in a
// container, which may only read there.
const procSys = "/proc/sys"

// sysctls are the kernel's settings, below a folder that holds net. Those of a
// network namespace are the calling thread's.
type sysctls string

func (s sysctls) path(setting string) string { return filepath.Join(string(s), setting) }

func (s sysctls) set(setting, value string) error {
	return os.WriteFile(s.path(setting), []byte(value), 0o644)
}

func (s sysctls) has(setting string) bool {
	_, err := os.Stat(s.path(setting))
	return err == nil
}
