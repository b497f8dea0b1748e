// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"strings"
	"unicode"
)

// hintType says what a word in the type's place may have been meant to be; it
// is empty where there is nothing to say.
func hintType(name, word string) string {
	if t, err := ParseType(strings.ToLower(word)); err == nil {
		return didYouMean(t.String())
	}
	if t, err := ParseType(strings.ToLower(name)); err == nil { // the two swapped
		return didYouMean(word + "/" + t.String())
	}
	if t, ok := guessType(word); ok {
		return didYouMean(t.String())
	}
	if strings.ContainsFunc(word, func(r rune) bool { return r == ';' || unicode.IsSpace(r) }) {
		return "; interfaces are separated by commas"
	}
	return ""
}

// hintSeparator recognises an element that was cut with something else than
// "/", such as tap1:tap.
func hintSeparator(element string) string {
	words := strings.FieldsFunc(element, func(r rune) bool {
		return r == ':' || r == '=' || r == '@' || r == '|' || r == '\\' || unicode.IsSpace(r)
	})
	if len(words) < 2 {
		return ""
	}
	if _, err := ParseType(words[1]); err != nil {
		return ""
	}
	return didYouMean(strings.Join(words, "/"))
}

func didYouMean(text string) string { return "; did you mean " + quote(text) + "?" }

// guessType finds the type that a wrong word is a slip or another name for.
func guessType(word string) (Type, bool) {
	lower := strings.ToLower(word)
	switch lower {
	case "tun", "tuntap", "tapv2", "tap-v2":
		return Tap, true
	case "vethpair", "veth-pair", "afpacket", "af_packet", "af-packet":
		return Veth, true
	}
	for _, t := range Types() {
		slips := 1
		if len(t.String()) > 4 {
			slips = 2
		}
		if distance(lower, t.String(), slips) <= slips {
			return t, true
		}
	}
	return 0, false
}

// distance counts the slips (a letter too many, missing, wrong, or two letters
// swapped) between two texts, in bytes. It stops counting beyond most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	// rows[i][j] is the distance between the first i bytes of a and j of b.
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
