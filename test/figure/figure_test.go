// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	a := Arm{Name: "a", Values: []float64{30, 10, 20, 40}}
	got := []float64{a.Percentile(0), a.Median(), a.Percentile(75), a.Percentile(76), a.Percentile(99), a.Percentile(100)}
	if diff := cmp.Diff([]float64{10, 20, 30, 40, 40, 40}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSheet(t *testing.T) {
	var out strings.Builder
	s := &Sheet{Out: &out}
	ours, theirs := &Arm{Name: "ours"}, &Arm{Name: "theirs"}
	for i := range 20 {
		ours.Took(time.Duration(i) * time.Millisecond)
		theirs.Took(time.Duration(100+i) * time.Millisecond)
	}
	s.Ratio("P1 faster", theirs.Median()/ours.Median(), AtLeast(12.2), "ms", ours, theirs)
	s.Ratio("P2 slower", 1.304, AtMost(1.3), "ms", ours)
	s.Value("P10 idle", 30, " MiB", AtMost(30))
	s.Value("P3 rate", 141.4, " pods/s", Goal{})
	s.Skip("P7", errors.New("no iperf3"))
	s.Sum()
	const want = `P1 faster: 12.1x (goal ≥ 12.2x: missed); min/med/max ms: ours 0/9/19.0, theirs 100/109/119; n=20
P2 slower: 1.30x (goal ≤ 1.3x: missed); min/med/max ms: ours 0/9/19.0; n=20
P10 idle: 30.0 MiB (goal ≤ 30 MiB: reached)
P3 rate: 141 pods/s
P7: skipped: no iperf3
1 goals reached, 2 missed, 1 figures skipped
    missed: P1 faster
    missed: P2 slower
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
