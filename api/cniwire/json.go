// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// topStrings calls member for every member of the JSON object doc, in order,
// with its value where that is a string and with the empty string where it is
// something else. Keys and values are unescaped as encoding/json does it
// (broken UTF-8 and lone surrogates become U+FFFD). It checks no more of the
// document than it must to find its way: whether a number is one, or a bracket
// closed by its own kind, is left to the agent. An error is ErrNotObject.
func topStrings(doc []byte, member func(key, value string)) error {
	s := scanner{doc: doc}
	if !s.next('{') {
		return ErrNotObject
	}
	if s.next('}') {
		return s.end()
	}
	for {
		key, ok := s.text()
		if !ok || !s.next(':') {
			return ErrNotObject
		}
		value, ok := s.text()
		if !ok && !s.skip() {
			return ErrNotObject
		}
		member(key, value)
		if s.next('}') {
			return s.end()
		}
		if !s.next(',') {
			return ErrNotObject
		}
	}
}

type scanner struct {
	doc []byte
	pos int
}

func (s *scanner) space() {
	for s.pos < len(s.doc) && isSpace(s.doc[s.pos]) {
		s.pos++
	}
}

// next takes the byte want, after spaces; it takes no other.
func (s *scanner) next(want byte) bool {
	s.space()
	if s.pos == len(s.doc) || s.doc[s.pos] != want {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) end() error {
	if s.space(); s.pos < len(s.doc) {
		return ErrNotObject
	}
	return nil
}

// text takes a string, unescaped; it takes nothing else.
func (s *scanner) text() (string, bool) {
	start := s.pos
	if !s.next('"') {
		return "", false
	}
	from := s.pos
	for ; s.pos < len(s.doc) && s.doc[s.pos] >= ' '; s.pos++ {
		switch s.doc[s.pos] {
		case '\\':
			s.pos++
		case '"':
			text, ok := unescape(s.doc[from:s.pos])
			s.pos++
			return text, ok
		}
	}
	s.pos = start
	return "", false
}

// skip takes a value that is not a string: everything up to the comma or
// bracket that ends it.
func (s *scanner) skip() bool {
	s.space()
	start := s.pos
	for depth := 0; s.pos < len(s.doc); s.pos++ {
		switch s.doc[s.pos] {
		case '"':
			if _, ok := s.text(); !ok {
				return false
			}
			s.pos-- // the loop steps over the closing quote
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return s.pos > start
			}
			if s.doc[s.pos] != ',' {
				depth--
			}
		}
	}
	return false
}

func unescape(raw []byte) (string, bool) {
	text := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		if raw[0] != '\\' {
			r, n := utf8.DecodeRune(raw)
			text, raw = utf8.AppendRune(text, r), raw[n:]
			continue
		}
		r, n := escaped(raw)
		if n == 0 {
			return "", false
		}
		text, raw = utf8.AppendRune(text, r), raw[n:]
	}
	return string(text), true
}

// escaped decodes the escape at the start of raw and says how long it is;
// 0 where it is none.
func escaped(raw []byte) (rune, int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch raw[1] {
	case '"', '\\', '/':
		return rune(raw[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	first, ok := unit(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if second, ok := unit(raw[6:]); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

// unit decodes \uXXXX at the start of raw.
func unit(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return rune(n), err == nil
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// appendJSONString appends s as a JSON string; broken UTF-8 becomes U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
