// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet

import (
	"bytes"
	"os"
	"path/filepath"
)

// procSys is where the kernel's settings are, unless the driver is in a
// container, which may only read there.
const procSys = "/proc/sys"

// Sysctls are the kernel's settings, below a folder that holds net. Those of a
// network namespace are the calling thread's.
type Sysctls string

// Set writes a setting.
func (s Sysctls) Set(setting, value string) error {
	return os.WriteFile(filepath.Join(string(s), setting), []byte(value), 0o644)
}

// IsOn reports whether a setting is there and not 0.
func (s Sysctls) IsOn(setting string) bool {
	value, err := os.ReadFile(filepath.Join(string(s), setting))
	return err == nil && !bytes.Equal(bytes.TrimSpace(value), []byte("0"))
}
