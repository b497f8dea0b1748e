// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/polynic/polynic/api/podif"
)

// corpus are the values that podif's own tests and fuzzing begin with. Text that
// is not UTF-8 is left out: no request to the API server can hold it.
func corpus(t *testing.T) []string {
	t.Helper()
	literal := regexp.MustCompile(`(?m)^(?:string\(|` + regexp.QuoteMeta(podif.CustomIfAnnotation) + `: )(".*"|.*?)\)?$`)
	var values []string
	for _, pattern := range []string{"fuzz/*/*", "corner/*.txtar"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", "api", "podif", "testdata", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range literal.FindAllStringSubmatch(string(text), -1) {
				value := found[1]
				if strings.HasPrefix(value, `"`) {
					if value, err = strconv.Unquote(value); err != nil {
						t.Fatalf("%s: %s: %v", path, found[1], err)
					}
				}
				if utf8.ValidString(value) {
					values = append(values, value)
				}
			}
		}
	}
	const least = 60
	if len(values) < least {
		t.Fatalf("podif's test data has %d values, fewer than %d", len(values), least)
	}
	return values
}
