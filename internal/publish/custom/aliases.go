// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"errors"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
)

// What text may become where its aliases (*NAME) are written out, in bytes: this
// many times as long, and some more.
const (
	maxGrowth = 4
	moreRoom  = 1 << 10
)

// checkAliases refuses text that is much longer with its aliases written out: a page
// of them may be more than there is memory.
func checkAliases(text string) error {
	if !strings.Contains(text, "&") || !strings.Contains(text, "*") {
		return nil
	}
	var root yaml3.Node
	if yaml3.Unmarshal([]byte(text), &root) != nil {
		return errors.New("it is not YAML")
	}
	m := measure{limit: maxGrowth*len(text) + moreRoom, lengths: map[*yaml3.Node]int{}}
	if m.of(&root) >= m.limit {
		return errors.New("its aliases (*NAME) stand for too much: write it out")
	}
	return nil
}

// measure knows how long nodes are, at most limit.
type measure struct {
	limit   int
	lengths map[*yaml3.Node]int
}

// of is the length of a node; limit where it has itself in it.
func (m measure) of(n *yaml3.Node) int {
	if length, known := m.lengths[n]; known {
		return length
	}
	m.lengths[n] = m.limit
	length := len(n.Value) + 1
	if n.Kind == yaml3.AliasNode {
		length = m.of(n.Alias)
	}
	for _, part := range n.Content {
		length = min(length+m.of(part), m.limit)
	}
	m.lengths[n] = length
	return length
}
