// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever meets a reason finds it in the documentation, and nothing there is
// about a reason that does not exist.
func TestEveryReasonIsExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []Reason
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		explained = append(explained, Reason(row[1]))
	}
	want := Reasons()
	slices.Sort(want)
	slices.Sort(explained)
	if diff := cmp.Diff(want, explained); diff != "" {
		t.Errorf("reasons (-there are +explained):\n%s", diff)
	}
}
