// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import "fmt"

// Type is the kind of a pod interface. The zero value is no type.
type Type uint8

// The interface types.
const (
	Tap Type = iota + 1
	Veth
	Memif
)

// Types lists every type in the order of their constants.
func Types() []Type { return []Type{Tap, Veth, Memif} }

// String is the word used in the annotation.
func (t Type) String() string {
	switch t {
	case Tap:
		return "tap"
	case Veth:
		return "veth"
	case Memif:
		return "memif"
	default:
		return fmt.Sprintf("type(%d)", uint8(t))
	}
}

// ParseType reads the annotation's word; it is case-sensitive.
func ParseType(word string) (Type, error) {
	for _, t := range Types() {
		if t.String() == word {
			return t, nil
		}
	}
	return 0, fmt.Errorf("type %s is not known (want tap, veth or memif)", quote(word))
}

// MarshalText renders the type as its word.
func (t Type) MarshalText() ([]byte, error) {
	if t < Tap || t > Memif {
		return nil, fmt.Errorf("interface type %d is not defined", uint8(t))
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the word.
func (t *Type) UnmarshalText(text []byte) error {
	parsed, err := ParseType(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
