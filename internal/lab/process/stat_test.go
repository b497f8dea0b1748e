// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"strconv"
	"strings"
	"testing"
)

const sample = "1234 (a) (b c) S 1 1234 1234 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 8 1"

func TestParseStart(t *testing.T) {
	if start, err := parseStart(sample); start != 987654 || err != nil {
		t.Errorf("got %d, %v, want 987654", start, err)
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add(sample)
	f.Add("")
	f.Add(")")
	f.Add(strings.Repeat("1 ", 60))
	f.Fuzz(func(t *testing.T, stat string) {
		start, err := parseStart(stat)
		if err == nil && !strings.Contains(stat, strconv.FormatUint(start, 10)) {
			t.Errorf("%q: start %d is not in it", stat, start)
		}
	})
}
