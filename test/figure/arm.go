// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package figure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Arm is one side of a comparison: all that was measured of it, in one unit.
type Arm struct {
	Name   string
	Values []float64
}

// Took adds a duration, in milliseconds.
func (a *Arm) Took(d time.Duration) { a.Add(float64(d) / float64(time.Millisecond)) }

// Add adds a value.
func (a *Arm) Add(v float64) { a.Values = append(a.Values, v) }

// Percentile is the smallest value that at least so many of a hundred do not
// exceed; 0 where there is no value.
func (a *Arm) Percentile(p int) float64 {
	if len(a.Values) == 0 {
		return 0
	}
	rank := (p*len(a.Values) + 99) / 100
	return slices.Sorted(slices.Values(a.Values))[max(rank, 1)-1]
}

// Median is the 50th percentile.
func (a *Arm) Median() float64 { return a.Percentile(50) }

// String is the arm in a figure's line: NAME MIN/MEDIAN/MAX.
func (a *Arm) String() string {
	return fmt.Sprintf("%s %s/%s/%s", a.Name, Number(a.Percentile(0)), Number(a.Median()), Number(a.Percentile(100)))
}

// Number prints three digits that count, or a whole number.
func Number(v float64) string {
	digits := 2
	for limit := 10.0; digits > 0 && (v >= limit || v <= -limit); limit *= 10 {
		digits--
	}
	return strings.TrimSuffix(fmt.Sprintf("%.*f", digits, v), ".00")
}
