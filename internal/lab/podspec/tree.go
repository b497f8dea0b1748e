// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// asTree is the value as its JSON has it: maps, lists and leaves.
func asTree(value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("pod: %w", err)
	}
	return tree, nil
}

// walk visits every leaf, with its path, in order.
func walk(tree any, path string, visit func(path string, leaf any)) {
	switch node := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			walk(node[key], child(path, key), visit)
		}
	case []any:
		for i, element := range node {
			walk(element, index(path, i), visit)
		}
	default:
		visit(path, tree)
	}
}

func child(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isZero(leaf any) bool {
	return leaf == nil || leaf == false || leaf == 0.0 || leaf == ""
}

// Change is the first difference between two manifests of one pod.
type Change struct {
	Field    string
	Old, New string
}

// String says what changed.
func (c Change) String() string {
	return fmt.Sprintf("%s is %s, and would be %s", c.Field, c.Old, c.New)
}

// Changed compares what an applied pod asked for with what a manifest asks for
// now: its labels, annotations and spec. It is false where they are the same.
func Changed(old, now *corev1.Pod) (Change, bool, error) {
	before, err := leaves(old)
	if err != nil {
		return Change{}, false, err
	}
	after, err := leaves(now)
	if err != nil {
		return Change{}, false, err
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if before[field] != after[field] {
			return Change{Field: field, Old: orAbsent(before[field]), New: orAbsent(after[field])}, true, nil
		}
	}
	return Change{}, false, nil
}

func leaves(pod *corev1.Pod) (map[string]string, error) {
	tree, err := asTree(map[string]any{
		"metadata": map[string]any{"labels": pod.Labels, "annotations": pod.Annotations},
		"spec":     pod.Spec,
	})
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	walk(tree, "", func(path string, leaf any) {
		if leaf != nil {
			text, _ := json.Marshal(leaf) // it came from JSON
			found[path] = string(text)
		}
	})
	return found, nil
}

func orAbsent(text string) string {
	if text == "" {
		return "absent"
	}
	return text
}
