// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/manifest"
)

var update = flag.Bool("update", false, "rewrite what the golden files want")

// TestGolden reads every manifest of an archive and compares what a person
// would be told of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := len(archive.Files) - 1
			var got strings.Builder
			for _, f := range archive.Files[:last] {
				got.WriteString(outcome(string(f.Data), f.Name))
			}
			if *update {
				archive.Files[last].Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[last].Data), got.String()); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
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
