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

// A word or a flag that is none leads to the help.
func TestWrongCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"helth":         "see `polynic-agent --help`",
		"--conf x":      "unknown flag: --conf; see `polynic-agent --help`",
		"remove --yes":  "unknown flag: --yes; see `polynic-agent remove --help`",
		"pods everyone": "see `polynic-agent pods --help`",
	} {
		c := command()
		c.SetArgs(strings.Fields(line))
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", line, err, want)
		}
	}
}
