// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/test/golden"
)

// TestCorners goes through the corner cases of the grammar as Contiv-VPP had
// implemented it. Each file tells, above its annotations, what the ancestor did
// and holds what polynic makes of it, as a person reads it.
func TestCorners(t *testing.T) {
	golden.Run(t, "testdata/corner/*.txtar", func(t *testing.T, files []txtar.File) string {
		t.Helper()
		var got strings.Builder
		for group := range strings.SplitSeq(string(files[0].Data), "\n\n") {
			got.WriteString(outcome(readAnnotations(t, group)))
		}
		return got.String()
	})
}

// readAnnotations reads lines of the form KEY: VALUE, the value quoted as in Go
// where it begins with a quote.
func readAnnotations(t *testing.T, text string) map[string]string {
	t.Helper()
	annotations := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			t.Fatalf("annotation %q is not of the form KEY: VALUE", line)
		}
		if strings.HasPrefix(value, `"`) {
			unquoted, err := strconv.Unquote(value)
			if err != nil {
				t.Fatalf("annotation %q: %v", line, err)
			}
			value = unquoted
		}
		annotations[key] = value
	}
	return annotations
}

// outcome renders what a pod with these annotations gets.
func outcome(annotations map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		fmt.Fprintf(&b, "%s: %q\n", key, annotations[key])
	}
	a, problems := podif.FromAnnotations(annotations)
	for _, i := range a.Request {
		fmt.Fprintf(&b, "  interface %s type %s network %s\n", i.Name, i.Type, i.Network)
	}
	if len(a.Request) > 0 {
		fmt.Fprintf(&b, "  canonical %s\n", a.Request)
	}
	if a.MicroserviceLabel != "" {
		fmt.Fprintf(&b, "  microservice label %s\n", a.MicroserviceLabel)
	}
	if a.ServiceEndpointIf != "" {
		fmt.Fprintf(&b, "  service endpoint %s\n", a.ServiceEndpointIf)
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "  %s: %s\n", p.Severity, p.Error())
		if caret := p.Caret(annotations[p.Key]); caret != "" {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(caret, "\n", "\n    "))
		}
	}
	return b.String() + "\n"
}
