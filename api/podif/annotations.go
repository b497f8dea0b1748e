// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"fmt"
	"slices"
	"strings"
)

// Annotations is what a pod asks for in its annotations.
type Annotations struct {
	Request Request
	// MicroserviceLabel is the label of the ligato agent in the pod; empty for
	// none.
	MicroserviceLabel string
	// ServiceEndpointIf is the custom interface that serves the pod's Kubernetes
	// services; empty for none.
	ServiceEndpointIf string
}

// FromAnnotations reads a pod's annotations. Keys are exact; a key that comes
// near one of ours gets a warning that names the right one, and its value is
// not read. A part with an error is left out of the result.
func FromAnnotations(annotations map[string]string) (Annotations, Problems) {
	var a Annotations
	var all Problems
	if value, ok := annotations[CustomIfAnnotation]; ok {
		a.Request, all = Parse(value)
	}
	usable := all.Err() == nil
	if value, ok := annotations[MicroserviceLabelAnnotation]; ok {
		label, problems := parseWord(MicroserviceLabelAnnotation, value, checkLabel)
		if label != "" && usable && len(a.Request) == 0 {
			problems = append(problems, Problem{
				Severity: Warning, Key: MicroserviceLabelAnnotation,
				Reason: "there are no custom interfaces that its agent could be told of (" + CustomIfAnnotation + "), so the annotation has no effect",
			})
		}
		a.MicroserviceLabel = label
		all = append(all, problems...)
	}
	if value, ok := annotations[ServiceEndpointIfAnnotation]; ok {
		name, problems := parseWord(ServiceEndpointIfAnnotation, value, func(name string) string {
			if !usable {
				return "" // the interface may be among those that could not be read
			}
			return checkServiceEndpoint(name, a.Request)
		})
		a.ServiceEndpointIf = name
		all = append(all, problems...)
	}
	return a, append(all, nearMisses(annotations)...)
}

// parseWord reads an annotation that is one word; check gives the reason to
// refuse it.
func parseWord(key, value string, check func(string) string) (string, Problems) {
	word := part{text: value}.trim()
	p := Problem{Severity: Error, Key: key, Offset: word.at, Length: len(word.text)}
	if word.text == "" {
		return "", Problems{{Severity: Warning, Key: key, Reason: "the value is empty, so the annotation has no effect"}}
	}
	if p.Reason = check(word.text); p.Reason != "" {
		return "", Problems{p}
	}
	return word.text, nil
}

func checkServiceEndpoint(name string, r Request) string {
	at := slices.IndexFunc(r, func(i Interface) bool { return i.Name == name })
	switch {
	case at < 0 && len(r) == 0:
		return fmt.Sprintf("interface %s is not asked for; list it in %s", quote(name), CustomIfAnnotation)
	case at < 0:
		return fmt.Sprintf("interface %s is not asked for; %s lists %s", quote(name), CustomIfAnnotation, names(r))
	case r[at].Network != DefaultNetwork:
		return fmt.Sprintf("interface %s is in network %s; services are served in the default network only",
			quote(name), quote(r[at].Network))
	default:
		return ""
	}
}

// names lists the first few interfaces.
func names(r Request) string {
	var list []string
	for _, i := range r[:min(len(r), maxListed)] {
		list = append(list, i.Name)
	}
	if len(r) > maxListed {
		list = append(list, "...")
	}
	return strings.Join(list, ", ")
}
