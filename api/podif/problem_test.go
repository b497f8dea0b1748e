// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podif_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
)

func TestOnlyErrorsRefuse(t *testing.T) {
	_, problems := podif.Parse("tap1/tap,")
	if err := problems.Err(); err != nil || len(problems.Warnings()) != 1 {
		t.Errorf("trailing comma: error %v, warnings %v; want one warning alone", err, problems.Warnings())
	}
	_, problems = podif.Parse("tap1/tap,,eth0/tap")
	if err := problems.Err(); err == nil || len(problems.Warnings()) != 1 || len(problems) != 2 {
		t.Errorf("error %v, warnings %v; want one of each", err, problems.Warnings())
	}
}

func TestErrorTextIsOneShortLine(t *testing.T) {
	long := strings.Repeat("x\n", 100)
	_, problems := podif.Parse(strings.Repeat(long+"/"+long+"/"+long+",", 20))
	err := problems.Err()
	if err == nil {
		t.Fatal("no error")
	}
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 1500 {
		t.Errorf("text of %d bytes: %s", len(text), text)
	}
	if want := "; and 56 more"; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("text %q does not end in %q", err, want)
	}
	var p podif.Problem
	if !errors.As(err, &p) || p != problems[0] {
		t.Errorf("first problem found in the error is %v", p)
	}
}

func TestQuotedTextIsCutBetweenCharacters(t *testing.T) {
	for shift := range 4 {
		_, problems := podif.Parse("tap1/" + strings.Repeat("x", shift) + strings.Repeat("€", 40))
		if text := problems.Err().Error(); strings.Contains(text, `\x`) {
			t.Errorf("shift %d: a character was cut in two: %s", shift, text)
		}
	}
}

func TestTypeIsAWordInJSON(t *testing.T) {
	for _, want := range podif.Types() {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got podif.Type
		if err := json.Unmarshal(text, &got); err != nil || got != want || string(text) != `"`+want.String()+`"` {
			t.Errorf("%s: %s, %v, %v", want, text, got, err)
		}
	}
	if text, err := json.Marshal(podif.Type(0)); err == nil {
		t.Errorf("no type rendered as %s", text)
	}
	var got podif.Type
	if err := json.Unmarshal([]byte(`"Tap"`), &got); err == nil {
		t.Errorf("Tap read as %s", got)
	}
}

func TestCaret(t *testing.T) {
	for _, test := range []struct {
		what, value string
		at          int
		mark        string
		want        string
	}{
		{"whole line", "tap1/Tap, veth1/veth", 5, "Tap", "tap1/Tap, veth1/veth\n     ^^^"},
		{"second line of a block", "tap1/tap,\nveth1/Veth,\nx/tap", 16, "Veth", "veth1/Veth,\n      ^^^^"},
		{"tab and escape", "tap1/tap,\t\x1b[1m/tap", 10, "\x1b[1m", "tap1/tap,··[1m/tap\n          ^^^^"},
		{"wide value", "ü€/Tap", 6, "Tap", "ü€/Tap\n   ^^^"},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := podif.Problem{Offset: test.at, Length: len(test.mark)}.Caret(test.value)
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestCaretShowsTheNeighbourhoodInALongValue(t *testing.T) {
	long := strings.Repeat("taptap/tap, ", 30)
	for _, test := range []struct{ lead, mark, tail, want string }{
		{"", "x", long, "x/tap, taptap/tap, tapta…"},
		{long, "x", long, "…aptap/tap, taptap/tap, taptap/tap, x/tap, taptap/tap, tapta…"},
		{long, "x", "", "…aptap/tap, taptap/tap, taptap/tap, x/tap, "},
		{"", strings.Repeat("y", 200), "", strings.Repeat("y", 39) + "…/tap, "},
	} {
		got := podif.Problem{Offset: len(test.lead), Length: len(test.mark)}.Caret(test.lead + test.mark + "/tap, " + test.tail)
		line, carets, _ := strings.Cut(got, "\n")
		if line != test.want {
			t.Errorf("got %q, want %q", line, test.want)
		}
		under := []rune(line)[strings.Index(carets, "^"):len(carets)]
		if shown := strings.TrimSuffix(string(under), "…"); !strings.HasPrefix(test.mark, shown) || shown == "" {
			t.Errorf("carets are under %q, want %q", shown, test.mark)
		}
	}
}

func TestCaretOfWhatIsNotInTheValue(t *testing.T) {
	for _, p := range []podif.Problem{
		{Offset: 0, Length: 0}, {Offset: 3, Length: 4}, {Offset: -1, Length: 2}, {Offset: 9, Length: 1},
	} {
		if got := p.Caret("tap1/t"); got != "" {
			t.Errorf("%+v: %q, want nothing", p, got)
		}
	}
}
