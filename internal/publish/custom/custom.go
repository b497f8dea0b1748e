// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package custom turns a CustomConfiguration into what is written to etcd for
// each microservice label: for the models of ligato's own agent under the keys that
// the agent computes of the data itself, for any other model under the key that
// Contiv-VPP used. It computes and does no I/O. No error has a value of the data,
// which may be a secret.
package custom

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Part is what a CustomConfiguration has for one label.
type Part struct {
	Label string
	// Items have keys that are all different, in the order of the object. An item of
	// the object may have two, in different forms.
	Items []ligato.Item
	// Count is how many items of the object these are.
	Count int
}

// Text tells people how much there is for whom: "2 items for vnf1".
func Text(parts []Part) string {
	count, labels := 0, make([]string, len(parts))
	for i, p := range parts {
		count += p.Count
		labels[i] = p.Label
	}
	items := "items"
	if count == 1 {
		items = "item"
	}
	return fmt.Sprintf("%d %s for %s", count, items, strings.Join(labels, ", "))
}

// Convert gives the parts of a configuration in the order in which it names the
// labels, or everything that is wrong with it.
func Convert(spec *v1.CustomConfigurationSpec, form ligato.Form) ([]Part, field.ErrorList) {
	root := field.NewPath("spec")
	if errs := spec.Validate(root); len(errs) > 0 {
		return nil, errs
	}
	var errs field.ErrorList
	var parts []Part
	first := map[string]int{} // the item that has a key
	for n := range spec.ConfigItems {
		item := &spec.ConfigItems[n]
		at := root.Child("configItems").Index(n)
		label := item.Microservice
		if label == "" {
			label = spec.Microservice
		}
		items, wrong := convert(item, label, form, at)
		errs = append(errs, wrong...)
		for _, i := range items {
			if before, taken := first[i.Key]; taken {
				errs = append(errs, field.Forbidden(at, fmt.Sprintf("configItems[%d] has the key %s already", before, i.Key)))
				continue
			}
			first[i.Key] = n
		}
		index := slices.IndexFunc(parts, func(p Part) bool { return p.Label == label })
		if index < 0 {
			index = len(parts)
			parts = append(parts, Part{Label: label})
		}
		parts[index].Items = append(parts[index].Items, items...)
		parts[index].Count++
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return parts, nil
}

// convert gives one item under each of its keys.
func convert(item *v1.ConfigurationItem, label string, form ligato.Form, at *field.Path) ([]ligato.Item, field.ErrorList) {
	data, err := parse(item.Data)
	if err != nil {
		return nil, field.ErrorList{hidden(at.Child("data"), err.Error())}
	}
	var suffixes []string
	if m, known := find(item); known {
		for _, name := range m.keys(&data, form) {
			suffixes = append(suffixes, data.below(suffix(m.module, m.version, m.kind, ""), name))
		}
	} else {
		version := item.Version
		if version == "" {
			version = "v1"
		}
		name, where := item.Name, "name"
		if name == "" {
			name, where = data.words("name"), "data"
		}
		if err := checkName(name); err != "" {
			return nil, field.ErrorList{hidden(at.Child(where), err)}
		}
		suffixes = []string{suffix(item.Module, version, item.Type, name)}
	}
	if len(data.wrong) > 0 {
		return nil, field.ErrorList{hidden(at.Child("data"), strings.Join(data.wrong, "; "))}
	}
	var items []ligato.Item
	for _, s := range suffixes {
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nil, field.ErrorList{hidden(at.Child("data"), "what names the item contains a character that cannot be part of a key in etcd")}
		}
		items = append(items, ligato.Item{Key: ligato.Prefix(label) + "config/" + s, Value: data.json})
	}
	return items, nil
}

// suffix is a key behind LABEL/config/. A model without names has one value.
func suffix(module, version, kind, name string) string {
	key := strings.ReplaceAll(module, ".", "/") + "/" + version + "/" + strings.ReplaceAll(kind, ".", "/")
	if name != "" {
		key += "/" + name
	}
	return key
}

// checkName gives the reason why a name cannot end a key. An empty one can.
func checkName(name string) string {
	if name != "" && (strings.HasPrefix(name, "/") || path.Clean(name) != name || strings.HasPrefix(name, "..")) {
		return "a name may have slashes between words, and no more"
	}
	return ""
}

// hidden is an error about a field without its value.
func hidden(at *field.Path, reason string) *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: at.String(), BadValue: field.OmitValueType{}, Detail: reason}
}
