// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The bounds of a CustomConfiguration, as in its schema; lengths are in
// characters.
const (
	maxItems   = 1024
	maxLabel   = 253
	maxModule  = 128
	maxVersion = 32
	maxName    = 512
	maxData    = 256 << 10
)

// Validate gives what the API server would refuse, in any object of this kind. No
// error has the data of an item in it.
func (c *CustomConfiguration) Validate() field.ErrorList {
	return c.Spec.Validate(field.NewPath("spec"))
}

// Validate gives what is wrong with a specification, which is found at path.
func (s *CustomConfigurationSpec) Validate(path *field.Path) field.ErrorList {
	errs := checkLabel(path.Child("microservice"), s.Microservice)
	items := path.Child("configItems")
	switch {
	case len(s.ConfigItems) == 0:
		errs = append(errs, field.Required(items, "say what to configure"))
	case len(s.ConfigItems) > maxItems:
		errs = append(errs, field.TooMany(items, len(s.ConfigItems), maxItems))
	}
	for n := range s.ConfigItems {
		item := &s.ConfigItems[n]
		errs = append(errs, item.validate(items.Index(n))...)
		if s.Microservice == "" && item.Microservice == "" {
			errs = append(errs, field.Required(items.Index(n).Child("microservice"),
				"whose configuration is it: give spec.microservice, or a microservice to every item"))
		}
	}
	return errs
}

func (i *ConfigurationItem) validate(path *field.Path) field.ErrorList {
	errs := checkLabel(path.Child("microservice"), i.Microservice)
	errs = append(errs, checkWords(path.Child("module"), i.Module, "a module is lower case words with dots between them, such as vpp.l2")...)
	errs = append(errs, checkWords(path.Child("type"), i.Type, "a type is lower case words with dots between them, such as xconnect")...)
	if !regexp.MustCompile(`^(v[0-9]+[-a-z0-9]*)?$`).MatchString(i.Version) || len(i.Version) > maxVersion {
		errs = append(errs, field.Invalid(path.Child("version"), i.Version, "a version is v and a number, such as v2"))
	}
	if utf8.RuneCountInString(i.Name) > maxName {
		errs = append(errs, field.TooLong(path.Child("name"), "", maxName))
	}
	if utf8.RuneCountInString(i.Data) > maxData {
		errs = append(errs, field.TooLong(path.Child("data"), "", maxData))
	}
	return errs
}

func checkWords(path *field.Path, text, rule string) field.ErrorList {
	switch {
	case text == "":
		return field.ErrorList{field.Required(path, rule)}
	case len(text) > maxModule:
		return field.ErrorList{field.TooLong(path, "", maxModule)}
	case !regexp.MustCompile(`^[-a-z0-9_]+([.][-a-z0-9_]+)*$`).MatchString(text):
		return field.ErrorList{field.Invalid(path, text, rule)}
	}
	return nil
}

// checkLabel refuses a label that is not one element of a key. An empty one is
// none.
func checkLabel(path *field.Path, label string) field.ErrorList {
	const rule = "a label is one element of a key in etcd: without slashes and spaces, and not contiv-ksr, which is Contiv-VPP's own"
	bad := func(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	switch {
	case utf8.RuneCountInString(label) > maxLabel:
		return field.ErrorList{field.TooLong(path, "", maxLabel)}
	case label == "." || label == ".." || label == "contiv-ksr" || strings.ContainsFunc(label, bad):
		return field.ErrorList{field.Invalid(path, fmt.Sprintf("%.64s", label), rule)}
	}
	return nil
}
