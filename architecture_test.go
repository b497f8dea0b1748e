// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package polynic_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const architecture = "docs/architecture.md"

// A newcomer finds every package on the page that lists them, and nothing there
// that is gone.
func TestArchitectureListsPackages(t *testing.T) {
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "\n## Packages\n")
	_, list, _ = strings.Cut(list, "```\n")
	list, _, found := strings.Cut(list, "```\n")
	if !found {
		t.Fatalf("%s has no block below \"## Packages\"", architecture)
	}
	folders := map[string]bool{}
	for _, s := range sources(t) {
		folders[s.folder()] = folders[s.folder()] || !s.isTest()
	}
	listed := packagesOf(list)
	for folder, isPackage := range folders {
		if isPackage && strings.Contains(folder, "/") && !isListed(listed, folder) {
			t.Errorf("%s does not list %s: say there what it is for", architecture, folder)
		}
	}
	for path := range listed {
		if folder, isTree := strings.CutSuffix(path, "/…"); !isTree && !folders[folder] {
			t.Errorf("%s lists %s, which is no package", architecture, path)
		}
	}
}

// packagesOf are the packages that a list names: an entry begins with its folders,
// and names those below the first of them as /NAME; FOLDER/… stands for all of them.
func packagesOf(list string) map[string]bool {
	below := regexp.MustCompile(`(?:^|[\s(])/([a-z0-9/]+)`)
	listed := map[string]bool{}
	entry := ""
	for line := range strings.Lines(list) {
		names, text := "", line
		if !strings.HasPrefix(line, " ") {
			names, text, _ = strings.Cut(line, "  ")
		}
		for i, name := range strings.Split(names, ", ") {
			switch {
			case name == "":
				continue
			case i == 0:
				entry = name
			default: // beside the first
				name = entry[:strings.LastIndex(entry, "/")+1] + name
			}
			listed[name] = true
		}
		for _, match := range below.FindAllStringSubmatch(text, -1) {
			listed[entry+"/"+match[1]] = true
		}
	}
	return listed
}

// isListed reports whether a package is listed, or a folder with all below it.
func isListed(listed map[string]bool, folder string) bool {
	if listed[folder] {
		return true
	}
	for i, char := range folder {
		if char == '/' && listed[folder[:i]+"/…"] {
			return true
		}
	}
	return false
}
