// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package golden compares what is made of text with what is wanted of it, both
// kept in one txtar archive. `go test PACKAGE -update` rewrites the archives.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the golden files want") //nolint:gochecknoglobals // a flag

// Run goes through the archives that the pattern finds, each a subtest. Its last
// file is wanted of the others.
func Run(t *testing.T, pattern string, outcome func(*testing.T, []txtar.File) string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("golden files %s: %v, %v", pattern, paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := len(archive.Files) - 1
			if last < 1 {
				t.Fatalf("%s has %d files, want two at least", path, last+1)
			}
			want := &archive.Files[last]
			got := outcome(t, archive.Files[:last])
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}
