// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/manifest"
)

func FuzzRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		documents, err := manifest.Read(strings.NewReader(text), "f")
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, wrong := range errorsOf(err) {
			var e *manifest.Error
			if !errors.As(wrong, &e) || e.Reason == "" || strings.Contains(e.Reason, "\n") {
				t.Fatalf("%q: error %q", text, wrong)
			}
			inside(t, e.Position, lines)
		}
		names := map[string]bool{}
		for _, d := range documents {
			inside(t, d.Position, lines)
			if d.Kind == "" || !json.Valid(d.Raw) {
				t.Fatalf("%q: kind %q, raw %q", text, d.Kind, d.Raw)
			}
			if d.Pod == nil {
				continue
			}
			name := d.Pod.Namespace + "/" + d.Pod.Name
			if d.Pod.Namespace == "" || d.Pod.Name == "" || d.Pod.GenerateName != "" && d.Pod.Name == "" || names[name] {
				t.Fatalf("%q: pod %q", text, name)
			}
			names[name] = true
			_, problems := podif.FromAnnotations(d.Pod.Annotations)
			for _, p := range problems {
				inside(t, d.At(p), lines)
				if !strings.Contains(d.Describe(p), p.Reason) {
					t.Fatalf("%q: %q", text, d.Describe(p))
				}
			}
		}
	})
}

func errorsOf(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func inside(t *testing.T, p manifest.Position, lines int) {
	t.Helper()
	if p.File != "f" || p.Line < 1 || p.Line > lines || p.Column < 0 {
		t.Fatalf("position %+v of a file of %d lines", p, lines)
	}
}
