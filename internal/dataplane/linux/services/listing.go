// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// listing is the table as nft lists it.
type listing struct {
	chains map[string][]string // the comments of their rules
	hooks  map[string]string   // where a chain is called
	// elements are those of sets and maps, which have an element here even if they
	// are empty.
	elements map[string]map[string]element
}

// jsonObject is one of nft's JSON schema (libnftables-json(5)), as far as it is of
// interest.
type jsonObject struct {
	Chain *struct {
		Name, Type, Hook string
		Priority         int `json:"prio"`
	}
	Rule     *struct{ Chain, Comment string }
	Set, Map *struct {
		Name     string
		Elements []any `json:"elem"`
	}
}

// list reads the table; it is nil where there is none.
func list(ctx context.Context) (*listing, error) {
	out, err := exec.CommandContext(ctx, "nft", "--json", "--numeric-protocol", "list", "table", "inet", TableName).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		if strings.Contains(string(failed.Stderr), "No such file or directory") {
			return nil, nil
		}
		return nil, fmt.Errorf("nft list: %w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return nil, fmt.Errorf("nft list (is the nft program installed?): %w", err)
	}
	var all struct{ Nftables []jsonObject }
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("nft list: %w", err)
	}
	l := &listing{chains: map[string][]string{}, hooks: map[string]string{}, elements: map[string]map[string]element{}}
	for _, o := range all.Nftables {
		l.take(o)
	}
	return l, nil
}

func (l *listing) take(o jsonObject) {
	switch {
	case o.Chain != nil:
		l.chains[o.Chain.Name] = nil // its rules follow
		if o.Chain.Hook != "" {
			l.hooks[o.Chain.Name] = fmt.Sprintf("%s %s %d", o.Chain.Type, o.Chain.Hook, o.Chain.Priority)
		}
	case o.Rule != nil:
		l.chains[o.Rule.Chain] = append(l.chains[o.Rule.Chain], o.Rule.Comment)
	case o.Set != nil:
		l.takeElements(o.Set.Name, o.Set.Elements)
	case o.Map != nil:
		l.takeElements(o.Map.Name, o.Map.Elements)
	}
}

func (l *listing) takeElements(set string, elements []any) {
	all := make(map[string]element, len(elements))
	l.elements[set] = all
	for _, e := range elements {
		var value string
		if pair, isPair := e.([]any); isPair && len(pair) == 2 {
			e, value = pair[0], text(pair[1])
		}
		var comment string
		if inner := field(e, "elem"); inner != nil {
			comment, _ = field(inner, "comment").(string)
			e = field(inner, "val")
		}
		all[keyText(set, e)] = element{value, comment}
	}
}

// keyText is a key in the form in which this package writes it: protocols by name,
// whatever the machine calls them.
func keyText(set string, e any) string {
	name, _, _ := strings.Cut(set, "/")
	at := -1
	switch strings.TrimRight(name, "46") {
	case frontMap, hiddenSet, stickyMap, sourceNotes:
		at = 1
	case portMap, hiddenPort, stickyPort:
		at = 0
	}
	parts, isConcat := field(e, "concat").([]any)
	if !isConcat || at < 0 || at >= len(parts) {
		return text(e)
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = text(p)
		if n, isNumber := p.(float64); isNumber && i == at {
			texts[i] = protocolWord(uint8(n))
		}
	}
	return key(texts...)
}

func protocolWord(n uint8) string {
	for _, p := range protocols() {
		if protocolNumber(p) == n {
			return word(p)
		}
	}
	return strconv.Itoa(int(n))
}

func field(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// text writes a key or a value as it is given to nft.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatInt(int64(v), 10)
	case map[string]any:
		if parts, is := v["concat"].([]any); is {
			texts := make([]string, len(parts))
			for i, p := range parts {
				texts[i] = text(p)
			}
			return key(texts...)
		}
		if prefix, is := v["prefix"]; is {
			return text(field(prefix, "addr")) + "/" + text(field(prefix, "len"))
		}
		for verdict, to := range v {
			return strings.TrimSpace(verdict + " " + text(field(to, "target")))
		}
	}
	return ""
}
