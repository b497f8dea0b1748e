// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"strings"
	"unicode"
)

// part is a piece of a value and where it begins, in bytes.
type part struct {
	text string
	at   int
}

func (p part) end() int { return p.at + len(p.text) }

// from is the piece of p that begins at an offset in the value.
func (p part) from(at int) part { return part{p.text[at-p.at:], at} }

// fromByte is the piece of p that begins with the first b, which must be there.
func (p part) fromByte(b byte) part { return p.from(p.at + strings.IndexByte(p.text, b)) }

func (p part) trim() part {
	left := strings.TrimLeftFunc(p.text, unicode.IsSpace)
	return part{strings.TrimRightFunc(left, unicode.IsSpace), p.end() - len(left)}
}

// split cuts at every separator and trims what is between.
func (p part) split(separator string) []part {
	var parts []part
	at := p.at
	for text := range strings.SplitSeq(p.text, separator) {
		piece := part{text, at}
		parts = append(parts, piece.trim())
		at = piece.end() + len(separator)
	}
	return parts
}
