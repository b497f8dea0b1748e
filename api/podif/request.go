// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import "strings"

// Interface is one element of the annotation.
type Interface struct {
	Name    string
	Type    Type
	Network string // never empty: an absent or empty third part is DefaultNetwork
}

// String renders the element, without the network where it is the default one.
func (i Interface) String() string {
	text := i.Name + "/" + i.Type.String()
	if i.Network != DefaultNetwork {
		text += "/" + i.Network
	}
	return text
}

// Request is the parsed annotation, in annotation order.
type Request []Interface

// String renders the canonical form: no spaces, the default network left out.
// It is never longer than the value it was parsed from, and parses to the same
// request.
func (r Request) String() string {
	elements := make([]string, len(r))
	for i := range r {
		elements[i] = r[i].String()
	}
	return strings.Join(elements, ",")
}
