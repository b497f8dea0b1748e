// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package release says which release a program is of.
package release

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is the version that the build has set, or else, as after
// `go install`, the module's: "(devel)" where that is not known either.
func Version(set string) string {
	if set != "" {
		return set
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Line is what a program answers to --version.
func Line(program, version string) string {
	return fmt.Sprintf("%s %s (%s, %s/%s)\n", program, version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
