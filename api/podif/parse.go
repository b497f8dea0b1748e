// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"fmt"
	"strings"
)

// Parse reads the value of CustomIfAnnotation. Spaces (and line breaks) around
// every part are trimmed, an empty third part means DefaultNetwork, an empty
// element is skipped with a warning. Everything wrong is reported at once; a
// value with an error gives no request at all, so that no pod can be served
// with fewer interfaces than it asks for.
func Parse(value string) (Request, Problems) {
	c := newChecker(nil)
	if len(value) > MaxValueLen {
		c.tooLong(len(value))
		return nil, c.problems
	}
	whole := part{text: value}
	if whole.trim().text == "" {
		c.warn(part{}, "the value is empty, so no custom interface is asked for")
		return nil, c.problems
	}
	var r Request
	for _, element := range whole.split(",") {
		if element.text == "" {
			c.warn(comma(value, element), "an empty element is skipped; remove the comma that is too many")
			continue
		}
		if len(r) == MaxInterfaces {
			c.tooMany(element)
			break
		}
		r = append(r, c.element(element))
	}
	if c.problems.Err() != nil {
		return nil, c.problems
	}
	return r, c.problems
}

// Validate checks a request however it was made, and that it uses none of the
// reserved names (the interface the runtime asked for, CNI_IFNAME) beside those
// that are always taken. Positions are those in the canonical form.
func Validate(r Request, reserved ...string) Problems {
	c := newChecker(reserved)
	if length := len(r.String()); length > MaxValueLen {
		c.tooLong(length)
		return c.problems
	}
	at := 0
	for n, i := range r {
		element := part{i.String(), at}
		if n == MaxInterfaces {
			c.tooMany(element)
			break
		}
		name := part{i.Name, at}
		c.name(name, element)
		kind := part{i.Type.String(), name.end() + 1}
		if _, err := ParseType(kind.text); err != nil {
			c.fail(kind, i.Name, err.Error())
		}
		c.network(part{i.Network, kind.end() + 1}, i.Name)
		at = element.end() + 1
	}
	return c.problems
}

// checker collects the problems of one value.
type checker struct {
	problems Problems
	reserved []string
	seen     map[string]bool
}

func newChecker(reserved []string) *checker {
	return &checker{reserved: reserved, seen: map[string]bool{}}
}

// form is how an element looks, for reasons.
const form = "an interface is NAME/TYPE or NAME/TYPE/NETWORK"

// element reads one element that is not empty.
func (c *checker) element(element part) Interface {
	parts := element.split("/")
	name := parts[0]
	if len(parts) == 1 || parts[1].text == "" {
		c.fail(element, name.text, "the type is missing; "+form+hintSeparator(element.text))
		return Interface{}
	}
	c.name(name, element)
	kind, err := ParseType(parts[1].text)
	if err != nil {
		c.fail(parts[1], name.text, err.Error()+hintType(name.text, parts[1].text))
	}
	i := Interface{Name: name.text, Type: kind, Network: DefaultNetwork}
	if len(parts) > 2 && parts[2].text != "" {
		i.Network = parts[2].text
		c.network(parts[2], name.text)
	}
	if len(parts) > 3 {
		extra := element.from(parts[2].end()).fromByte('/')
		c.fail(extra, name.text, fmt.Sprintf("%s is too much; %s", quote(extra.text), form))
	}
	return i
}

func (c *checker) tooLong(length int) {
	c.fail(part{}, "", fmt.Sprintf("the value has %d bytes; at most %d are read", length, MaxValueLen))
}

// tooMany tells of the first element that is one too many; those behind it are not
// looked at.
func (c *checker) tooMany(element part) {
	c.fail(element, "", fmt.Sprintf("a pod has at most %d custom interfaces, and this is one more", MaxInterfaces))
}

func (c *checker) fail(p part, iface, reason string) {
	c.problems = append(c.problems, Problem{
		Severity: Error, Key: CustomIfAnnotation,
		Offset: p.at, Length: len(p.text), Interface: iface, Reason: reason,
	})
}

func (c *checker) warn(p part, reason string) {
	c.problems = append(c.problems, Problem{
		Severity: Warning, Key: CustomIfAnnotation, Offset: p.at, Length: len(p.text), Reason: reason,
	})
}

// comma is what to point at for an empty element: the comma that ends it or,
// for the last one, the comma before.
func comma(value string, empty part) part {
	at := empty.at
	if at == len(value) {
		at = strings.LastIndexByte(value, ',')
	}
	return part{value[at : at+1], at}
}
