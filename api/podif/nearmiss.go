// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif

import (
	"maps"
	"slices"
	"strings"
)

// maxKeySlips is how many slips apart a key is still taken for one of ours.
const maxKeySlips = 2

// nearMisses warns of keys that were probably meant to be ours. Contiv-VPP took
// every key that begins like one of its own; polynic does not, so such a key
// must not go unnoticed.
func nearMisses(annotations map[string]string) Problems {
	var problems Problems
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if ours, ok := nearest(key); ok {
			problems = append(problems, Problem{
				Severity: Warning, Key: key,
				Reason: "this annotation is not read (keys are exact)" + didYouMean(ours),
			})
		}
	}
	return problems
}

// nearest is the annotation of ours that a foreign key comes near.
func nearest(key string) (string, bool) {
	ours := []string{CustomIfAnnotation, MicroserviceLabelAnnotation, ServiceEndpointIfAnnotation}
	if slices.Contains(ours, key) {
		return "", false
	}
	lower := strings.ToLower(key)
	for _, own := range ours {
		_, name, _ := strings.Cut(own, "/")
		sameName := lower == name || strings.HasSuffix(lower, "/"+name)
		if sameName || strings.HasPrefix(lower, own) || distance(lower, own, maxKeySlips) <= maxKeySlips {
			return own, true
		}
	}
	return "", false
}
