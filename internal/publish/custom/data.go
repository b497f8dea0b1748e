// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package custom

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// data is what an item is about: its JSON, and its fields by name. Reading a
// field notes what is wrong with it.
type data struct {
	json   []byte
	fields map[string]any
	wrong  []string
}

// parse reads the YAML of an item. The parser's own words may quote the text, so
// of them the error has the line alone.
func parse(text string) (data, error) {
	if err := checkAliases(text); err != nil {
		return data{}, err
	}
	converted, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		reason := "it is not YAML"
		if line := regexp.MustCompile(`\bline (\d+)`).FindString(err.Error()); line != "" {
			reason += ", or has a field twice, at " + line
		}
		return data{}, errors.New(reason)
	}
	if string(converted) == "null" {
		converted = []byte("{}")
	}
	d := data{json: converted}
	decoder := json.NewDecoder(bytes.NewReader(converted))
	decoder.UseNumber()
	if err := decoder.Decode(&d.fields); err != nil {
		return data{}, errors.New("it has to be fields with values, such as name: memif1")
	}
	return d, nil
}

// get gives a field, whose name may be written in two ways; nil where there is
// none.
func (d *data) get(name string) any {
	if d.twice(name) {
		d.fail(name, "is there twice, as "+camelCase(name)+" too")
		return nil
	}
	if value := d.fields[name]; value != nil {
		return value
	}
	return d.fields[camelCase(name)]
}

func (d *data) twice(name string) bool {
	return name != camelCase(name) && d.fields[name] != nil && d.fields[camelCase(name)] != nil
}

// fail notes once what is wrong with a field, however often it is read.
func (d *data) fail(name, reason string) {
	if text := name + " " + reason; !slices.Contains(d.wrong, text) {
		d.wrong = append(d.wrong, text)
	}
}

// words is a text that may be absent, and is empty then.
func (d *data) words(name string) string {
	switch value := d.get(name).(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		d.fail(name, "has to be text: put it into quotes")
		return ""
	}
}

// text is a text that has to be there.
func (d *data) text(name string) string {
	text := d.words(name)
	if value := d.get(name); value == nil && !d.twice(name) || value == "" {
		d.fail(name, "is missing")
	}
	return text
}

// word is the name of a value of an enumeration.
func (d *data) word(name, absent string) string {
	if _, number := d.get(name).(json.Number); number {
		d.fail(name, "has to be a word, such as "+absent)
		return ""
	}
	if word := d.words(name); word != "" {
		return word
	}
	return absent
}

// number is a number from 0 to 2^32-1 without leading zeros; 0 where it is absent.
func (d *data) number(name string) string {
	text := "0"
	switch value := d.get(name).(type) {
	case nil:
	case json.Number:
		text = value.String()
	case string: // JSON of protocol buffers allows it
		text = value
	default:
		text = ""
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		d.fail(name, "has to be a number from 0 to 4294967295")
	}
	return strconv.FormatUint(n, 10)
}

// id is a number, or, in release 2.1.1, any text.
func (d *data) id(name string) string {
	if text, ok := d.get(name).(string); ok {
		return text
	}
	return d.number(name)
}

func (d *data) flag(name string) bool {
	flag, ok := d.get(name).(bool)
	if !ok && d.get(name) != nil {
		d.fail(name, "has to be true or false")
	}
	return flag
}

// network is ADDRESS/LENGTH without the bits behind the length, or a reference to
// an address of the agent's own allocation.
func (d *data) network(name string) string {
	text := d.text(name)
	if text == "" || strings.HasPrefix(text, "alloc:") {
		return text
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		d.fail(name, "has to be a network, such as 10.1.0.0/16")
		return ""
	}
	return prefix.Masked().String()
}

// below is a name behind a prefix, as agents join them: without empty elements.
func (d *data) below(prefix, name string) string {
	key := path.Join(prefix, name)
	if name != "" && !strings.HasPrefix(key, prefix+"/") {
		d.wrong = append(d.wrong, "what names the item would be no part of its key")
	}
	return key
}

// family is the family of an address.
func (d *data) family(name string) string {
	text := d.text(name)
	if text == "" {
		return ""
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		d.fail(name, "has to be an address")
		return ""
	case addr.Unmap().Is4():
		return "IPv4"
	}
	return "IPv6"
}

// camelCase is the other way to write the name of a field.
func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
