// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"$(A)":          "1",
		"x$(A)y$(A)":    "x1y1",
		"$(B)":          "$(A)", // a value is not looked into again
		"$(C)":          "$(C)",
		"$$(A)":         "$(A)",
		"$$$(A)":        "$1",
		"$A ${A} $":     "$A ${A} $",
		"$(A":           "$(A",
		"cost $5 $(A)":  "cost $5 1",
		"$(A)$(":        "1$(",
		"nested $($(A)": "nested $($(A)",
	} {
		if got := expand(text, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

// What holds no reference is left as it is, but for the doubled dollars.
func FuzzExpand(f *testing.F) {
	for _, text := range []string{"", "$", "$$", "$(", "$()", "$(A)", "a$$(A)b", "$($(A))"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := expand(text, nil)
		if want := strings.ReplaceAll(text, "$$", "$"); !strings.Contains(text, "(") && got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	})
}
