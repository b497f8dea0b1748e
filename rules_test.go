// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package polynic_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The sizes, in lines, that files keep to.
const (
	maxLines    = 400
	medianLines = 150
)

// source is one Go file of the module.
type source struct {
	path string // from the root, with slashes
	text string
	file *ast.File
	fset *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) lines() int { return strings.Count(s.text, "\n") }

// line is the position of a node for people: PATH:LINE.
func (s source) line(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// folder is the path of the file's package, from the root.
func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

// files gives every file of the tree that is meant to be in the repository.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == ".git" || path == "bin"):
			return filepath.SkipDir
		case d.Type().IsRegular() && path != ".git": // a file in a work tree
			all = append(all, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, path := range files(t) {
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{path: path, text: string(text), file: file, fset: fset})
	}
	return all
}

// license says whose a file is, below its language's sign of a comment.
func license(comment string) string {
	return comment + " SPDX-FileCopyrightText: The polynic authors\n" + comment + " SPDX-License-Identifier: Apache-2.0\n"
}

func TestHeaders(t *testing.T) {
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.text, license("//")) {
			t.Errorf("%s: put these two lines first:\n%s", s.path, license("//"))
		}
	}
}

// Scripts and YAML have it too, but what tests read: that is written as users
// write it. Documents are prose, and go.mod and its like are a tool's.
func TestHeadersOfScripts(t *testing.T) {
	for _, path := range files(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		names := []string{".yaml", ".yml", ".sh", "Makefile", "Containerfile"}
		if strings.HasPrefix(text, "#!") {
			_, text, _ = strings.Cut(text, "\n")
		} else if strings.Contains(path, "testdata/") || !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(path, n) }) {
			continue
		}
		if !strings.HasPrefix(text, license("#")) {
			t.Errorf("%s: put these two lines first:\n%s", path, license("#"))
		}
	}
}

func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest() {
			documented[s.folder()] = documented[s.folder()] || s.file.Doc != nil
		}
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("%s: say in a comment above one of its package clauses what the package is for", folder)
		}
	}
}

func TestPackageNames(t *testing.T) {
	empty := []string{"base", "common", "helper", "helpers", "misc", "shared", "types", "util", "utils"}
	for _, s := range sources(t) {
		if name := strings.TrimSuffix(s.file.Name.Name, "_test"); slices.Contains(empty, name) {
			t.Errorf("%s: a package called %q attracts everything; name it after what it is about", s.path, name)
		}
	}
}

func TestFileLengths(t *testing.T) {
	var lengths []int
	for _, s := range sources(t) {
		lengths = append(lengths, s.lines())
		if s.lines() > maxLines {
			t.Errorf("%s: %d lines, more than %d; split it by what its parts are about", s.path, s.lines(), maxLines)
		}
	}
	slices.Sort(lengths)
	if median := lengths[len(lengths)/2]; median > medianLines {
		t.Errorf("half of the files have more than %d lines (want at most %d); split the longest", median, medianLines)
	}
}

// forbiddenCalls are those that only main may make, or nobody.
func forbiddenCalls(s source) map[string]string {
	calls := map[string]string{
		"time.Sleep": "wait for the event itself (a channel, a netlink or file event), or test in a synctest bubble",
	}
	if s.isTest() {
		return calls
	}
	calls["panic"] = "return an error"
	if s.file.Name.Name != "main" {
		for _, exit := range []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"} {
			calls[exit] = "return an error; only main ends the process"
		}
	}
	return calls
}

func TestForbiddenCalls(t *testing.T) {
	all := sources(t)
	bubbles := map[string]bool{} // folders whose tests have a clock of their own
	for _, s := range all {
		if slices.Contains(imports(s), "testing/synctest") {
			bubbles[s.folder()] = true
		}
	}
	for _, s := range all {
		if s.isTest() && bubbles[s.folder()] {
			continue
		}
		forbidden := forbiddenCalls(s)
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if advice, ok := forbidden[callee(call)]; ok {
					t.Errorf("%s: %s: %s", s.line(call), callee(call), advice)
				}
			}
			return true
		})
	}
}

// callee is the name of the function called, with its package where it has one.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}

// A path of somebody's own machine means nothing on any other one.
func TestNoDeveloperPaths(t *testing.T) {
	private := regexp.MustCompile(`(^|[^\w./-])/(work|root|home/\w+|Users/\w+)/`)
	for _, path := range files(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text) || path == "rules_test.go" {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			if private.MatchString(line) {
				t.Errorf("%s:%d: a path of one developer's machine; make it relative, or a setting:\n%s", path, i+1, line)
			}
		}
	}
}
