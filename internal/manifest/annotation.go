// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strings"
	"unicode/utf8"

	yaml3 "go.yaml.in/yaml/v3"

	"github.com/polynic/polynic/api/podif"
)

// annotations knows where an object's annotations are.
type annotations struct {
	source source
	node   *yaml3.Node // the mapping; nil where there is none
}

func findAnnotations(o object) annotations {
	return annotations{o.source, find(o.node, "metadata", "annotations")}
}

// At is where a problem with one of the document's annotations is: the
// offending part of the value, else the annotation's line, else the document's.
func (d Document) At(p podif.Problem) Position {
	key, value := entry(d.annotations.node, p.Key)
	if key == nil {
		return d.Position
	}
	s := d.annotations.source
	if p.Length == 0 {
		return s.of(key)
	}
	if line, column, ok := place(s, value, p.Offset); ok {
		return s.at(line, column)
	}
	return s.at(value.Line, 0)
}

// Describe renders a problem for the author of the document: its position, what
// is wrong and, where there is a part to point at, the part.
//
//	web.yaml:6:36: error: interface "tap1": type "Tap" is not known
//	    tap1/Tap, veth1/veth
//	         ^^^
func (d Document) Describe(p podif.Problem) string {
	text := d.At(p).String() + ": " + p.Severity.String() + ": " + p.Error()
	if caret := p.Caret(d.value(p.Key)); caret != "" {
		text += "\n    " + strings.ReplaceAll(caret, "\n", "\n    ")
	}
	return text
}

func (d Document) value(key string) string {
	if d.Pod == nil {
		return ""
	}
	return d.Pod.Annotations[key]
}

// place finds where a scalar's byte at an offset stands in the text. YAML folds
// and indents, so value and text are walked side by side, a run of white space
// in one standing for any run in the other; escapes are not followed.
func place(s source, node *yaml3.Node, offset int) (line, column int, ok bool) {
	if node.Kind != yaml3.ScalarNode || offset >= len(node.Value) {
		return 0, 0, false
	}
	line, column = node.Line, node.Column
	if node.Style == yaml3.DoubleQuotedStyle || node.Style == yaml3.SingleQuotedStyle {
		column++
	}
	if node.Style == yaml3.LiteralStyle || node.Style == yaml3.FoldedStyle {
		line, column = line+1, 1
	}
	text := s.from(line, column)
	skipped, ok := walk(text, node.Value, offset)
	if !ok {
		return 0, 0, false
	}
	before := text[:skipped]
	if breaks := strings.Count(before, "\n"); breaks > 0 {
		line, column = line+breaks, 1
		before = before[strings.LastIndexByte(before, '\n')+1:]
	}
	return line, column + utf8.RuneCountInString(before), true
}

// walk gives the offset in text of the byte at an offset in value.
func walk(text, value string, offset int) (int, bool) {
	at := 0
	if !isSpace(value[0]) {
		at = spaces(text) // the indentation of a block
	}
	for n := 0; n < offset; {
		if run := spaces(value[n:]); run > 0 {
			width := spaces(text[at:])
			if width == 0 {
				return 0, false
			}
			n, at = n+run, at+width
			continue
		}
		if at >= len(text) || text[at] != value[n] {
			return 0, false
		}
		n, at = n+1, at+1
	}
	return at, at < len(text) && text[at] == value[offset]
}

// spaces is the length of the white space that a text begins with.
func spaces(text string) int {
	n := 0
	for n < len(text) && isSpace(text[n]) {
		n++
	}
	return n
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' }
