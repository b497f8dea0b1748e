// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Kubernetes manifests from files: YAML with any number
// of documents, or JSON. It decodes pods, config maps and services as strictly as the API
// server does, and remembers where in the file their annotations are, so that
// whatever is wrong with one can be shown as FILE:LINE:COLUMN.
package manifest

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// The bounds of what is read, in bytes.
const (
	// MaxInput bounds one file.
	MaxInput = 16 << 20
	// MaxDocument bounds one document of it, as the API server bounds a
	// request.
	MaxDocument = 3 << 20
)

// Document is one object of a manifest; an item of a List is one as well.
type Document struct {
	// Position is where the object begins.
	Position Position
	// Kind is the object's kind, whether it is served or not.
	Kind string
	// Pod, ConfigMap and Service are the decoded object: one of them, or none where
	// the kind is none that polynic serves. Their namespace is set: "default"
	// where the manifest has none.
	Pod       *corev1.Pod
	ConfigMap *corev1.ConfigMap
	Service   *corev1.Service
	// Raw is the object as it was written, as JSON.
	Raw []byte
	// Warnings is what the author should be told, each with its position.
	Warnings []string

	annotations annotations
}

// Skipped says why the document has no effect, in words for the author; it is
// empty where it has.
func (d Document) Skipped() string {
	if d.Pod != nil || d.ConfigMap != nil || d.Service != nil {
		return ""
	}
	return fmt.Sprintf("%s: skipped: kind %s", d.Position, d.Kind)
}

// Position is a place in a file. Line and Column count from 1, the column in
// characters; a Column of 0 means the whole line.
type Position struct {
	File         string
	Line, Column int
}

// String renders FILE:LINE:COLUMN, or FILE:LINE.
func (p Position) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one thing wrong in a manifest.
type Error struct {
	Position Position
	Reason   string
}

// Error implements error.
func (e *Error) Error() string { return e.Position.String() + ": " + e.Reason }

// Read reads every document of a file; file is its name in positions. A
// document with an error is left out, the others are returned beside the error,
// which joins an *Error for everything that is wrong, in the order of the file.
// Empty documents are no error and give nothing.
func Read(r io.Reader, file string) ([]Document, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > MaxInput {
		return nil, &Error{Position{File: file, Line: 1}, fmt.Sprintf("the file is longer than %d bytes", MaxInput)}
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	// All three are line breaks in YAML, and nothing else in JSON.
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if !utf8.ValidString(text) {
		return nil, &Error{Position{File: file, Line: lineOfInvalid(text)}, "the file is not UTF-8 text"}
	}
	d := decoder{first: map[string]Position{}}
	for _, s := range split(file, text) {
		d.document(s)
	}
	return d.documents, d.err()
}

func lineOfInvalid(text string) int {
	line := 1
	for l := range strings.Lines(text) {
		if !utf8.ValidString(l) {
			break
		}
		line++
	}
	return line
}
