// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"strconv"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
)

// field is the position of a field by its path, such as
// spec.containers[0].image: of its key or, where it cannot be found, of the
// nearest thing around it.
func (o object) field(path string) Position {
	node, position := o.node, o.source.of(o.node)
	for path != "" {
		var key *yaml3.Node
		if key, node, path = descend(node, path); node == nil {
			break
		}
		position = o.source.of(key)
	}
	return position
}

// descend goes one step of a path down, and gives the rest of it: to a mapping's
// field, an item by its number ([0]), or through the only item of a sequence that
// the path does not mention. The key is the item itself in a sequence. Names may
// have dots in them, as those of annotations: the longest that is there counts.
func descend(node *yaml3.Node, path string) (key, value *yaml3.Node, rest string) {
	node = resolve(node)
	if node == nil {
		return nil, nil, ""
	}
	if number, rest, ok := strings.Cut(path, "]"); ok && path[0] == '[' {
		n, err := strconv.Atoi(number[1:])
		if err != nil || node.Kind != yaml3.SequenceNode || n < 0 || n >= len(node.Content) {
			return nil, nil, ""
		}
		return node.Content[n], node.Content[n], strings.TrimPrefix(rest, ".")
	}
	if node.Kind == yaml3.SequenceNode && len(node.Content) == 1 {
		node = resolve(node.Content[0])
	}
	for end := len(path); end > 0; end = strings.LastIndexAny(path[:end], ".[") {
		if key, value = entry(node, path[:end]); key != nil {
			return key, value, strings.TrimPrefix(path[end:], ".")
		}
	}
	return nil, nil, ""
}

// entry is a mapping's key and value; nil where it has none.
func entry(node *yaml3.Node, name string) (key, value *yaml3.Node) {
	node = resolve(node)
	if node == nil || node.Kind != yaml3.MappingNode {
		return nil, nil
	}
	for n := 0; n+1 < len(node.Content); n += 2 {
		if node.Content[n].Value == name {
			return node.Content[n], node.Content[n+1]
		}
	}
	return nil, nil
}

// find goes down mappings by their keys; nil where one is missing.
func find(node *yaml3.Node, names ...string) *yaml3.Node {
	for _, name := range names {
		_, node = entry(node, name)
	}
	return resolve(node)
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml3.Node) *yaml3.Node {
	if node != nil && node.Kind == yaml3.AliasNode {
		return node.Alias
	}
	return node
}

// typeError puts the JSON decoder's error into words and gives it its place. Of
// a field it knows the path without the numbers of items:
// "json: cannot unmarshal VALUE into Go struct field STRUCT.PATH of type TYPE".
func (o object) typeError(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "json: cannot unmarshal ")
	value, rest, ok := strings.Cut(text, " into Go struct field ")
	if !ok {
		return &Error{o.source.of(o.node), "the object cannot be decoded: " + err.Error()}
	}
	field, want, _ := strings.Cut(rest, " of type ")
	_, path, _ := strings.Cut(field, ".")
	reason := fmt.Sprintf("%s: want %s, got %s", path, want, value)
	if want == "string" && (value == "number" || value == "bool") {
		reason += "; put it in quotes"
	}
	return &Error{o.field(path), reason}
}
