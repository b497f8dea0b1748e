// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	var out strings.Builder
	c := command()
	c.SetArgs([]string{"--version"})
	c.SetOut(&out)
	if err := c.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(out.String(), "polynic-agent ") || strings.Contains(out.String(), "unknown") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
