// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package figure prints what benchmarks measured: a line for each figure, with
// what it was made of, its goal, and whether that is reached. A figure that
// misses its goal fails nothing.
package figure

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

// Sheet is where figures are written.
type Sheet struct {
	Out io.Writer

	reached int
	missed  []string
	skipped []string
}

// Goal is what a figure is to be; the zero goal is none.
type Goal struct {
	relation string
	limit    float64
}

// AtLeast is the goal of a figure that is to be large.
func AtLeast(v float64) Goal { return Goal{"≥", v} }

// AtMost is the goal of a figure that is to be small.
func AtMost(v float64) Goal { return Goal{"≤", v} }

func (g Goal) reachedBy(v float64) bool {
	return g.relation == "≥" && v >= g.limit || g.relation == "≤" && v <= g.limit
}

// Ratio writes a figure that is a quotient, and what it was made of; unit is
// the arms'.
func (s *Sheet) Ratio(what string, quotient float64, g Goal, unit string, arms ...*Arm) {
	texts := make([]string, len(arms))
	for i, a := range arms {
		texts[i] = a.String()
	}
	fmt.Fprintf(s.Out, "%s: %sx%s; min/med/max %s: %s; n=%d\n",
		what, Number(quotient), s.judge(what, quotient, g, "x"), unit, strings.Join(texts, ", "), len(arms[0].Values))
}

// Value writes a figure that is a number of its own. The unit begins with a
// space, where that is due.
func (s *Sheet) Value(what string, v float64, unit string, g Goal) {
	fmt.Fprintf(s.Out, "%s: %s%s%s\n", what, Number(v), unit, s.judge(what, v, g, unit))
}

// Note writes what belongs to the figures before.
func (s *Sheet) Note(format string, values ...any) {
	fmt.Fprintf(s.Out, "    "+format+"\n", values...)
}

// judge is the goal and whether it is reached.
func (s *Sheet) judge(what string, v float64, g Goal, unit string) string {
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

// Skip writes that figures cannot be measured here.
func (s *Sheet) Skip(name string, reason error) {
	fmt.Fprintf(s.Out, "%s: skipped: %v\n", name, reason)
	s.skipped = append(s.skipped, name)
}

// Sum ends the sheet.
func (s *Sheet) Sum() {
	fmt.Fprintf(s.Out, "%d goals reached, %d missed, %d figures skipped\n", s.reached, len(s.missed), len(s.skipped))
	for _, what := range s.missed {
		s.Note("missed: %s", what)
	}
}

// NeedFiles skips figures for which a file is missing.
func (s *Sheet) NeedFiles(t testing.TB, name string, files ...string) {
	t.Helper()
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			s.Skip(name, err)
		}
		need.File(t, need.Peers, f)
	}
}
