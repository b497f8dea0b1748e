// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

//go:build !failpoints

// Package failpoint names the places at which the reliability trials kill the
// process. In a normal build a failpoint is nothing at all; a build with the
// tag failpoints reads the environment, see failpoint_on.go.
package failpoint

// Hit marks a place that the process may be killed at.
func Hit(string) {}
