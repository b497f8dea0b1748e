// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// object is one Kubernetes object before it is decoded: as JSON, and as the
// node that knows its positions. The node is nil where there are none.
type object struct {
	source source
	node   *yaml3.Node
	raw    []byte
}

// parse reads the text of one document. It gives no object and no error where
// the document is empty.
func parse(s source) (*object, []*Error) {
	if value := []byte(strings.TrimSpace(s.text)); json.Valid(value) {
		return parseJSON(s, value)
	}
	node, err := parseNode(s.text)
	if err != nil {
		return nil, syntaxErrors(s, err)
	}
	if node == nil || node.Tag == "!!null" {
		return nil, nil
	}
	if node.Kind != yaml3.MappingNode {
		return nil, []*Error{notAnObject(s.of(node))}
	}
	if afford(node, maxExpanded) < 0 {
		return nil, []*Error{{s.at(1, 0), fmt.Sprintf("the document is longer than %d bytes once its aliases are followed", maxExpanded)}}
	}
	raw, err := yaml.YAMLToJSONStrict([]byte(s.text))
	if err != nil {
		return nil, syntaxErrors(s, err)
	}
	return &object{s, node, raw}, nil
}

func notAnObject(p Position) *Error {
	return &Error{p, "this is not a Kubernetes object (a mapping with apiVersion, kind and metadata)"}
}

func parseJSON(s source, value []byte) (*object, []*Error) {
	if value[0] != '{' {
		return nil, []*Error{notAnObject(s.at(1, 0))}
	}
	// YAML knows no tabs between values; inside of JSON's strings there are
	// none. Where YAML still cannot read it (JSON escapes that it lacks), the
	// object goes without positions.
	node, err := parseNode(strings.ReplaceAll(s.text, "\t", " "))
	if err != nil {
		node = nil
	}
	var raw bytes.Buffer
	if err := json.Compact(&raw, value); err != nil {
		return nil, []*Error{{s.at(1, 0), err.Error()}}
	}
	return &object{s, node, raw.Bytes()}, nil
}

// errTwoDocuments is a document that ends with "..." and goes on.
var errTwoDocuments = errors.New("another document follows; begin it with ---")

// parseNode reads the one YAML document of a text; nil where there is none.
func parseNode(text string) (*yaml3.Node, error) {
	decoder := yaml3.NewDecoder(strings.NewReader(text))
	var document, second yaml3.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, errTwoDocuments
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document.Content[0], nil
}

// What a document may cost with its aliases followed, roughly in bytes. Aliases
// are dear, because one that contains itself would otherwise be followed for
// deeper than the stack goes.
const (
	maxExpanded = 64 << 20
	nodeCost    = 16
	aliasCost   = 1024
)

// afford takes what a node costs off a budget; it stops where that is used up.
func afford(node *yaml3.Node, budget int) int {
	budget -= nodeCost + len(node.Value)
	if node.Kind == yaml3.AliasNode && budget >= 0 {
		return afford(node.Alias, budget-aliasCost)
	}
	for _, child := range node.Content {
		if budget < 0 {
			break
		}
		budget = afford(child, budget)
	}
	return budget
}

// syntaxErrors gives the errors of the YAML parsers, of the form
// "yaml: line 3: REASON", their place in the file.
func syntaxErrors(s source, err error) []*Error {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	text = strings.TrimPrefix(text, "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	var errs []*Error
	for reason := range strings.SplitSeq(text, "\n") {
		line := 1 // the parsers leave the first line unnamed
		if rest, ok := strings.CutPrefix(strings.TrimSpace(reason), "line "); ok {
			number, after, _ := strings.Cut(rest, ": ")
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				line, reason = n, after
			}
		}
		if first, _, _ := strings.Cut(s.from(line, 1), "\n"); strings.HasPrefix(strings.TrimLeft(first, " "), "\t") {
			reason += "; indent with spaces, not with tabs"
		}
		errs = append(errs, &Error{s.at(line, 0), "broken YAML: " + strings.TrimSpace(reason)})
	}
	return errs
}
