// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package release_test

import (
	"regexp"
	"testing"

	"github.com/polynic/polynic/internal/release"
)

func TestLine(t *testing.T) {
	for set, want := range map[string]string{
		"v1.2.3": `^polynic v1\.2\.3 \(go\S+, linux/\w+\)\n$`,
		"":       `^polynic \S+ \(go\S+, linux/\w+\)\n$`,
	} {
		if line := release.Line("polynic", release.Version(set)); !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("%q gives %q, want %s", set, line, want)
		}
	}
}
