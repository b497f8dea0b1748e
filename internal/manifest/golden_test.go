// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/test/golden"
)

// TestGolden reads every manifest of an archive and compares what a person
// would be told of it.
func TestGolden(t *testing.T) {
	golden.Run(t, "testdata/golden/*.txtar", func(_ *testing.T, files []txtar.File) string {
		var got strings.Builder
		for _, f := range files {
			got.WriteString(outcome(string(f.Data), f.Name))
		}
		return got.String()
	})
}

func outcome(text, name string) string {
	documents, err := manifest.Read(strings.NewReader(text), name)
	var b strings.Builder
	for _, d := range documents {
		switch {
		case d.Pod != nil:
			fmt.Fprintf(&b, "%s: pod %s/%s\n", d.Position, d.Pod.Namespace, d.Pod.Name)
			a, problems := podif.FromAnnotations(d.Pod.Annotations)
			for _, i := range a.Request {
				fmt.Fprintf(&b, "  %s\n", i)
			}
			for _, p := range problems {
				fmt.Fprintln(&b, d.Describe(p))
			}
		case d.ConfigMap != nil:
			fmt.Fprintf(&b, "%s: config map %s/%s with %d entries\n", d.Position, d.ConfigMap.Namespace, d.ConfigMap.Name, len(d.ConfigMap.Data))
		default:
			fmt.Fprintln(&b, d.Skipped())
		}
		for _, warning := range d.Warnings {
			fmt.Fprintln(&b, warning)
		}
	}
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}
