// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/manifest"
)

// reasonOf is the first reason in an error of Read.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	var wrong *manifest.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v, want a manifest.Error", err)
	}
	return wrong.Reason
}

func TestInputHasABound(t *testing.T) {
	comment := "---\n# " + strings.Repeat("x", 1<<20-7) + "\n"
	documents, err := manifest.Read(strings.NewReader(strings.Repeat(comment, 16)), "big")
	if err != nil || len(documents) != 0 {
		t.Errorf("comments of the greatest length: %d documents, %v", len(documents), err)
	}
	_, err = manifest.Read(io.MultiReader(strings.NewReader(strings.Repeat(comment, 16)), strings.NewReader("#")), "big")
	if got := reasonOf(t, err); got != "the file is longer than 16777216 bytes" {
		t.Errorf("one byte more: %s", got)
	}
}

func TestDocumentHasABound(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: small}\n"
	big := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata: {x: " + strings.Repeat("x", manifest.MaxDocument) + "}\n"
	documents, err := manifest.Read(strings.NewReader(big+"---\n"+pod), "f")
	if got := reasonOf(t, err); got != "the document is longer than 3145728 bytes" {
		t.Errorf("reason %s", got)
	}
	if len(documents) != 1 || documents[0].Pod.Name != "small" {
		t.Errorf("%d documents beside the big one, want the pod", len(documents))
	}
}

func TestAliasesDoNotBlowUp(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for what, text := range map[string]string{
		"long string":     "a: &a " + long + "\nb: [" + strings.Repeat("*a, ", 100) + "]\n",
		"layers":          "a: &a [x,x,x,x,x,x,x,x]\n" + layers(10),
		"contains itself": "a: &a [*a, *a]\n",
	} {
		_, err := manifest.Read(strings.NewReader(text), "f")
		if got := reasonOf(t, err); !strings.Contains(got, "once its aliases are followed") {
			t.Errorf("%s: reason %.100s", what, got)
		}
	}
}

func layers(depth int) string {
	var b strings.Builder
	for n := range depth {
		above, name := string(rune('a'+n)), string(rune('a'+n+1))
		b.WriteString(name + ": &" + name + " [" + strings.Repeat("*"+above+",", 8) + "]\n")
	}
	return b.String()
}

func TestNotText(t *testing.T) {
	_, err := manifest.Read(strings.NewReader("a: b\nc: \xff\n"), "f")
	if got := err.Error(); got != "f:2: the file is not UTF-8 text" {
		t.Errorf("error %s", got)
	}
}

func TestSecondDocumentIsNotOverlooked(t *testing.T) {
	// To YAML U+2028 is a line break, so that a document begins behind it.
	_, err := manifest.Read(strings.NewReader("a: b\u2028---\nc: d\n"), "f")
	if got := reasonOf(t, err); got != "broken YAML: another document follows; begin it with ---" {
		t.Errorf("reason %s", got)
	}
}

func TestReaderFails(t *testing.T) {
	broken := errors.New("disk on fire")
	if _, err := manifest.Read(iotest.ErrReader(broken), "f"); !errors.Is(err, broken) || !strings.Contains(err.Error(), "f") {
		t.Errorf("error %v, want the reader's with the file's name", err)
	}
}

func TestRawIsTheObject(t *testing.T) {
	text := "apiVersion: v1\nkind: List\nitems:\n- {kind: Pod, apiVersion: v1, metadata: {name: a}}\n" +
		"---\nkind: Endpoints\napiVersion: v1\nspec: {ports: [80]}\n"
	documents, err := manifest.Read(strings.NewReader(text), "f")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range documents {
		got = append(got, string(d.Raw))
	}
	want := []string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`,
		`{"apiVersion":"v1","kind":"Endpoints","spec":{"ports":[80]}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("raw objects (-want +got):\n%s", diff)
	}
}

func TestExamples(t *testing.T) {
	for file, want := range map[string][]string{
		"multi-if-pod.yaml": {"default/multi-if-pod tap1/tap,veth1/veth"},
		"service.yaml":      {"default/web-tap tap1/tap", "default/web-veth veth1/veth", "default/client "},
		"two-pods.yaml":     {"default/one-pod tap1/tap,veth1/veth", "default/other-pod tap1/tap,veth1/veth"},
	} {
		data, err := os.Open("../../examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		documents, err := manifest.Read(data, file)
		if err = errors.Join(err, data.Close()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range documents {
			if d.Pod == nil {
				continue
			}
			a, problems := podif.FromAnnotations(d.Pod.Annotations)
			if len(problems) > 0 {
				t.Errorf("%s: %v", file, problems)
			}
			got = append(got, d.Pod.Namespace+"/"+d.Pod.Name+" "+a.Request.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// styles are ways to write lines of text as one YAML scalar.
func styles() map[string]func([]string) string {
	return map[string]func([]string) string{
		"plain":   func(lines []string) string { return strings.Join(lines, "\n      ") },
		"double":  func(lines []string) string { return `"` + strings.Join(lines, "\n   ") + `"` },
		"single":  func(lines []string) string { return "'" + strings.Join(lines, "\n\n ") + "'" },
		"literal": func(lines []string) string { return "|-\n      " + strings.Join(lines, "\n      ") },
		"folded":  func(lines []string) string { return ">+\n\n      " + strings.Join(lines, "\n\n      ") },
	}
}

// TestPositionIsWhereTheTextStands marks one type of many as wrong and looks in
// the file at the position that is told.
func TestPositionIsWhereTheTextStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := rapid.SampledFrom([]string{"a/tap,", "ü/veth/stub,", " ", "b /memif, ", "c/ tap/default,"})
		lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.TrimSpace(strings.Join(rapid.SliceOfN(good, 0, 4).Draw(t, "elements"), "") + ",x/veth,")
		}), 1, 4).Draw(t, "lines")
		bad := rapid.IntRange(0, len(lines)-1).Draw(t, "bad line")
		lines[bad] += " y/WRONG, z/tap"
		style := rapid.SampledFrom([]string{"plain", "double", "single", "literal", "folded"}).Draw(t, "style")
		if style == "plain" {
			lines[0] = "p/tap" + lines[0] // a comma cannot begin a plain scalar
		}
		text := "apiVersion: v1\nkind: Pod\n# comment\nmetadata:\n  name: a\n  annotations:\n    contivpp.io/custom-if: " +
			styles()[style](lines) + "\n    other: x\n"
		documents, err := manifest.Read(strings.NewReader(text), "f")
		if err != nil {
			t.Fatal(err)
		}
		_, problems := podif.FromAnnotations(documents[0].Pod.Annotations)
		for _, p := range problems {
			if !strings.Contains(p.Reason, "WRONG") {
				continue
			}
			at := documents[0].At(p)
			line := []rune(strings.Split(text, "\n")[at.Line-1])
			if at.Column == 0 || !strings.HasPrefix(string(line[at.Column-1:]), "WRONG") {
				t.Fatalf("%s is not where the type stands in\n%s", at, text)
			}
			return
		}
		t.Fatalf("the wrong type is not found in\n%s", text)
	})
}
