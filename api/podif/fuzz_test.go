// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
)

// linuxTakes repeats what Linux demands of an interface's name, byte by byte
// as dev_valid_name does, and that it is taken as it is.
func linuxTakes(name string) bool {
	if name == "" || len(name) > 15 || slices.Contains([]string{".", "..", "all", "default"}, name) {
		return false
	}
	for _, b := range []byte(name) {
		if strings.IndexByte("/:% \t\n\v\f\r\xa0\x00", b) >= 0 {
			return false
		}
	}
	return true
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, value string) {
		r, problems := podif.Parse(value)
		checkProblems(t, map[string]string{podif.CustomIfAnnotation: value}, problems)
		if problems.Err() != nil {
			if r != nil {
				t.Fatalf("%q is refused and yet asks for %v", value, r)
			}
			return
		}
		seen := map[string]bool{}
		for _, i := range r {
			if !linuxTakes(i.Name) || !utf8.ValidString(i.Name) || seen[i.Name] || i.Network == "" || i.Name == "eth0" || i.Name == "lo" {
				t.Fatalf("%q gives %+v", value, i)
			}
			seen[i.Name] = true
		}
		canonical := r.String()
		if len(canonical) > len(value) {
			t.Fatalf("canonical form %q is longer than %q", canonical, value)
		}
		again, problems := podif.Parse(canonical)
		if len(r) > 0 && len(problems) > 0 {
			t.Fatalf("canonical form %q: %v", canonical, problems)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("%q and its canonical form %q differ:\n%s", value, canonical, diff)
		}
		if problems := podif.Validate(r); len(problems) > 0 {
			t.Fatalf("%q was taken, and does not validate: %v", value, problems)
		}
	})
}

func FuzzFromAnnotations(f *testing.F) {
	f.Fuzz(func(t *testing.T, key, value, label, endpoint string) {
		annotations := map[string]string{
			podif.CustomIfAnnotation:          value,
			podif.MicroserviceLabelAnnotation: label,
			podif.ServiceEndpointIfAnnotation: endpoint,
			key:                               value,
		}
		a, problems := podif.FromAnnotations(annotations)
		checkProblems(t, annotations, problems)
		if strings.ContainsRune(a.MicroserviceLabel, '/') {
			t.Fatalf("label %q is more than one element of a key", a.MicroserviceLabel)
		}
		if a.ServiceEndpointIf == "" || problems.Err() != nil {
			return
		}
		if !slices.ContainsFunc(a.Request, func(i podif.Interface) bool { return i.Name == a.ServiceEndpointIf }) {
			t.Fatalf("service endpoint %q is not in %v", a.ServiceEndpointIf, a.Request)
		}
	})
}

// checkProblems holds problems to what any reader of them relies on.
func checkProblems(t *testing.T, annotations map[string]string, problems podif.Problems) {
	t.Helper()
	for n, p := range problems {
		value, ok := annotations[p.Key]
		if !ok || p.Offset < 0 || p.Length < 0 || p.Offset+p.Length > len(value) {
			t.Fatalf("%+v is outside of %q", p, value)
		}
		if n > 0 && problems[n-1].Key == p.Key && problems[n-1].Offset > p.Offset {
			t.Fatalf("problems out of order: %v", problems)
		}
		if p.Reason == "" || (p.Severity != podif.Warning && p.Severity != podif.Error) {
			t.Fatalf("%+v says nothing", p)
		}
		if strings.ContainsFunc(p.Error()[len(p.Key):], unicode.IsControl) {
			t.Fatalf("control characters in %q", p.Error())
		}
		if caret := p.Caret(value); (caret == "") != (p.Length == 0) || strings.Count(caret, "\n") > 1 {
			t.Fatalf("caret of %+v in %q: %q", p, value, caret)
		}
	}
}
