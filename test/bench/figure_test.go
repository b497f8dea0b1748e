// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/need"
)

// sheet is where figures are written, a line each, and how much is measured
// for them.
type sheet struct {
	size
	out     io.Writer
	reached int
	missed  []string
	skipped []string
}

// arm is one side of a comparison: all that was measured of it, in one unit.
type arm struct {
	name   string
	values []float64
}

// took adds a duration, in milliseconds.
func (a *arm) took(d time.Duration) { a.add(float64(d) / float64(time.Millisecond)) }

func (a *arm) add(v float64) { a.values = append(a.values, v) }

// percentile is the smallest value that at least so many of a hundred do not
// exceed.
func (a *arm) percentile(p int) float64 {
	if len(a.values) == 0 {
		return 0
	}
	rank := (p*len(a.values) + 99) / 100
	return slices.Sorted(slices.Values(a.values))[max(rank, 1)-1]
}

func (a *arm) median() float64 { return a.percentile(50) }

// String is the arm in a figure's line: NAME MIN/MEDIAN/MAX.
func (a *arm) String() string {
	return fmt.Sprintf("%s %s/%s/%s", a.name, number(a.percentile(0)), number(a.median()), number(a.percentile(100)))
}

// number prints three digits that count, or a whole number.
func number(v float64) string {
	digits := 2
	for limit := 10.0; digits > 0 && (v >= limit || v <= -limit); limit *= 10 {
		digits--
	}
	return strings.TrimSuffix(fmt.Sprintf("%.*f", digits, v), ".00")
}

// goal is what a figure is to be; the zero goal is none.
type goal struct {
	relation string
	limit    float64
}

func atLeast(v float64) goal { return goal{"≥", v} }
func atMost(v float64) goal  { return goal{"≤", v} }

func (g goal) reachedBy(v float64) bool {
	return g.relation == "≥" && v >= g.limit || g.relation == "≤" && v <= g.limit
}

// ratio writes a figure that is a quotient, and what it was made of; unit is
// the arms'.
func (s *sheet) ratio(what string, quotient float64, g goal, unit string, arms ...*arm) {
	texts := make([]string, len(arms))
	for i, a := range arms {
		texts[i] = a.String()
	}
	fmt.Fprintf(s.out, "%s: %sx%s; min/med/max %s: %s; n=%d\n",
		what, number(quotient), s.judge(what, quotient, g, "x"), unit, strings.Join(texts, ", "), len(arms[0].values))
}

// value writes a figure that is a number of its own. The unit begins with a
// space, where that is due.
func (s *sheet) value(what string, v float64, unit string, g goal) {
	fmt.Fprintf(s.out, "%s: %s%s%s\n", what, number(v), unit, s.judge(what, v, g, unit))
}

// note writes what belongs to the figures before.
func (s *sheet) note(format string, values ...any) {
	fmt.Fprintf(s.out, "    "+format+"\n", values...)
}

// judge is the goal and whether it is reached.
func (s *sheet) judge(what string, v float64, g goal, unit string) string {
	word := "reached"
	switch {
	case g.relation == "":
		return ""
	case g.reachedBy(v):
		s.reached++
	default:
		word = "missed"
		s.missed = append(s.missed, what)
	}
	return fmt.Sprintf(" (goal %s %v%s: %s)", g.relation, g.limit, unit, word)
}

// skip writes that figures cannot be measured here.
func (s *sheet) skip(name string, reason error) {
	fmt.Fprintf(s.out, "%s: skipped: %v\n", name, reason)
	s.skipped = append(s.skipped, name)
}

// sum ends the sheet.
func (s *sheet) sum() {
	fmt.Fprintf(s.out, "%d goals reached, %d missed, %d figures skipped\n", s.reached, len(s.missed), len(s.skipped))
	for _, what := range s.missed {
		s.note("missed: %s", what)
	}
}

// needFiles skips figures for which a file is missing.
func (s *sheet) needFiles(t *testing.T, name string, files ...string) {
	t.Helper()
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			s.skip(name, err)
		}
		need.File(t, need.Peers, f)
	}
}
