// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source is the text of one document and where it begins.
type source struct {
	file string
	line int // of the text's first line, from 1
	text string
}

// at is the position of a line and column of the text, both from 1. YAML knows
// line breaks that editors do not (U+0085, U+2028), so a line may lie beyond
// the end: it is the last one then.
func (s source) at(line, column int) Position {
	if last := strings.Count(s.text, "\n") + 1; line > last {
		line, column = last, 0
	}
	return Position{File: s.file, Line: s.line + line - 1, Column: column}
}

// of is the position of a node; of the whole text where there is none.
func (s source) of(node *yaml.Node) Position {
	if node == nil || node.Line == 0 {
		return s.at(1, 0)
	}
	return s.at(node.Line, node.Column)
}

// from is the text from a line (from 1) and column (characters, from 1) on;
// empty where there is no such place.
func (s source) from(line, column int) string {
	text := s.text
	for range line - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	for range column - 1 {
		if text == "" || text[0] == '\n' {
			return ""
		}
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}

// empty reports whether the text holds nothing but comments and directives.
func (s source) empty() bool {
	for line := range strings.Lines(s.text) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// split cuts a file into documents: at lines that begin with "---", which can
// be inside of nothing in YAML, and between JSON values that follow each other.
func split(file string, data string) []source {
	var all []source
	begin, beginLine, end, line := 0, 1, 0, 0
	for text := range strings.Lines(data) {
		line++
		if isSeparator(text) {
			all = append(all, splitJSON(source{file, beginLine, data[begin:end]})...)
			begin, beginLine = end, line
		}
		end += len(text)
	}
	return append(all, splitJSON(source{file, beginLine, data[begin:]})...)
}

func isSeparator(line string) bool {
	rest, ok := strings.CutPrefix(line, "---")
	return ok && (rest == "" || strings.ContainsRune(" \t\n", rune(rest[0])))
}

// splitJSON cuts a text of JSON values into one per value; any other text stays
// whole.
func splitJSON(s source) []source {
	text := strings.TrimPrefix(s.text, "---")
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return []source{s}
	}
	var all []source
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return []source{s}
		}
		end := int(decoder.InputOffset())
		begin := end - len(value)
		lineBegin := strings.LastIndexByte(text[:begin], '\n') + 1
		all = append(all, source{
			file: s.file,
			line: s.line + strings.Count(text[:begin], "\n"),
			// Spaces before the value keep the columns right.
			text: strings.Repeat(" ", begin-lineBegin) + text[begin:end],
		})
	}
	return all
}
