// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The widths of Caret's lines, in characters: of one that is shown whole, and
// of the pieces of one that is not.
const (
	caretWidth = 100
	caretLead  = 36
	caretMark  = 40
	caretTail  = 24
)

// Caret shows the offending part of the annotation's value in two lines, the
// second with carets under the part:
//
//	tap1/Tap, veth1/veth
//	     ^^^
//
// Of a value with line breaks it shows the line, of a long line the
// neighbourhood. It is empty where the whole value (or the key) is meant, and
// where the value cannot be the one the problem is in.
func (p Problem) Caret(value string) string {
	if p.Offset < 0 || p.Length <= 0 || p.Offset > len(value) || p.Length > len(value)-p.Offset {
		return ""
	}
	lead, rest := value[:p.Offset], value[p.Offset:]
	mark, tail := printable(rest[:p.Length]), rest[p.Length:]
	lead = printable(lead[strings.LastIndexByte(lead, '\n')+1:])
	tail, _, _ = strings.Cut(tail, "\n")
	tail = printable(tail)
	if utf8.RuneCountInString(lead+mark+tail) > caretWidth {
		lead, mark, tail = last(lead, caretLead), first(mark, caretMark), first(tail, caretTail)
	}
	return lead + mark + tail + "\n" +
		strings.Repeat(" ", utf8.RuneCountInString(lead)) + strings.Repeat("^", utf8.RuneCountInString(mark))
}

// printable replaces what would move the cursor or cannot be seen.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}

func first(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func last(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return "…" + string(runes[len(runes)-most+1:])
	}
	return text
}
