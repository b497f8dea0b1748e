// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ValidateLabel refuses a microservice label that could not be one element of a
// key in etcd.
func ValidateLabel(label string) error {
	if reason := checkLabel(label); reason != "" {
		return errors.New(reason)
	}
	return nil
}

// checkLabel gives the reason to refuse a label.
func checkLabel(label string) string {
	switch label {
	case "":
		return "the label is empty"
	case ".", "..":
		return fmt.Sprintf("label %s means a folder, and cannot be part of a key in etcd", quote(label))
	}
	if len(label) > MaxLabelLen {
		return fmt.Sprintf("the label has %d bytes; at most %d are read", len(label), MaxLabelLen)
	}
	if !utf8.ValidString(label) {
		return "the label is not valid UTF-8 text"
	}
	for _, r := range label {
		if r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return fmt.Sprintf("label %s contains %q, which cannot be part of a key in etcd", quote(label), r)
		}
	}
	return ""
}
