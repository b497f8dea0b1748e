// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// name checks the name of an element's interface, and that it is free.
func (c *checker) name(name, element part) {
	if name.text == "" {
		c.fail(element, "", "the name is missing; "+form)
		return
	}
	if reason := checkName(name.text); reason != "" {
		c.fail(name, name.text, reason)
		return
	}
	if slices.Contains(c.reserved, name.text) {
		c.fail(name, name.text, "the name is taken by the interface that the container runtime asked for; choose another")
		return
	}
	if c.seen[name.text] {
		c.fail(name, name.text, "the name is used twice; give every interface a name of its own")
		return
	}
	c.seen[name.text] = true
}

// checkName gives the reason to refuse a name: Linux would not take it
// (dev_valid_name in net/core/dev.c, sysctl_dev_name_is_allowed in
// net/ipv4/devinet.c) or would change it, it cannot be shown, or every pod has
// an interface of that name already.
func checkName(name string) string {
	switch name {
	case "eth0":
		return "the name is taken by the pod's main interface; choose another"
	case "lo":
		return "the name is taken by the loopback interface; choose another"
	case ".", "..", "all", "default":
		return "Linux takes no interface of this name; choose another"
	}
	if len(name) > MaxNameLen {
		return fmt.Sprintf("the name has %d bytes; Linux takes at most %d", len(name), MaxNameLen)
	}
	if !utf8.ValidString(name) {
		return "the name is not valid UTF-8 text"
	}
	for _, r := range name {
		if reason := checkNameRune(r); reason != "" {
			return reason
		}
	}
	return ""
}

func checkNameRune(r rune) string {
	switch {
	case unicode.IsSpace(r):
		return fmt.Sprintf("the name contains a space (%U)", r)
	case r == '%':
		return "the name contains \"%\", which Linux would replace by a number"
	case r == '/', r == ':', r == ',':
		return fmt.Sprintf("the name contains \"%c\"; use letters, digits, \"-\", \"_\" and \".\"", r)
	case !unicode.IsPrint(r):
		return fmt.Sprintf("the name contains %U, which cannot be shown", r)
	case strings.IndexByte(string(r), 0xa0) >= 0:
		// The kernel looks at single bytes as if they were Latin-1, where 0xa0
		// is a space.
		return fmt.Sprintf("the name contains \"%c\", a byte of which Linux takes for a space", r)
	default:
		return ""
	}
}

// network checks that a network's name could be that of a Kubernetes object: an
// RFC 1123 subdomain.
func (c *checker) network(network part, iface string) {
	if isSubdomain(network.text) {
		return
	}
	reason := fmt.Sprintf("network %s cannot be the name of a network (at most %d lower-case letters, digits, "+
		"\"-\" and \".\", with a letter or digit at either end)", quote(network.text), MaxNetworkLen)
	if lower := strings.ToLower(network.text); isSubdomain(lower) {
		reason += "; did you mean " + quote(lower) + "?"
	}
	c.fail(network, iface, reason)
}

func isSubdomain(name string) bool {
	if len(name) > MaxNetworkLen {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
