// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
)

func TestVersionsAreThoseOfTheLibrary(t *testing.T) {
	if diff := cmp.Diff(version.All.SupportedVersions(), cniwire.SpecVersions()); diff != "" {
		t.Errorf("(-libcni +polynic):\n%s", diff)
	}
	if cniwire.Newest != version.Current() {
		t.Errorf("newest is %s, the library's %s", cniwire.Newest, version.Current())
	}
}

func TestAnswerVersion(t *testing.T) {
	for asked, want := range map[string]string{"": "0.1.0", "0.4.0": "0.4.0", "1.1.0": "1.1.0", "9.9.9": "1.1.0", "\"": "1.1.0"} {
		if got := cniwire.AnswerVersion(asked); got != want {
			t.Errorf("asked in %q it answers in %q, want %q", asked, got, want)
		}
	}
}

func TestAppendVersions(t *testing.T) {
	text := cniwire.AppendVersions(nil, "1.0.0")
	want := `{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}` + "\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAppendError(t *testing.T) {
	text := cniwire.AppendError(nil, "0.3.1", cniwire.CodeRefused, "tap1 in pod d/\"p\": no\tsuch\\type")
	want := `{"cniVersion":"0.3.1","code":101,"msg":"tap1 in pod d/\"p\": no\u0009such\\type","details":""}` + "\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseNetConf(t *testing.T) {
	standard := cniwire.NetConf{Socket: cniwire.DefaultSocket, StateDir: cniwire.DefaultStateDir}
	with := func(change func(*cniwire.NetConf)) cniwire.NetConf {
		conf := standard
		change(&conf)
		return conf
	}
	for name, test := range map[string]struct {
		doc  string
		want cniwire.NetConf
	}{
		"nothing said": {`{}`, standard},
		"everything said": {
			` {"name": "net", "socket":"/s" ,"stateDir":"/d","cniVersion":"1.0.0"} `,
			cniwire.NetConf{CNIVersion: "1.0.0", Name: "net", Socket: "/s", StateDir: "/d"},
		},
		"only the top level": {
			`{"ipam":{"name":"inner","socket":"/inner"},"list":[{"name":"}"}],"name":"outer"}`,
			with(func(c *cniwire.NetConf) { c.Name = "outer" }),
		},
		"the last of equal keys": {`{"name":"a","name":"b"}`, with(func(c *cniwire.NetConf) { c.Name = "b" })},
		"the last is no string":  {`{"name":"a","socket":"/s","name":1,"socket":null}`, standard},
		"exact keys":             {`{"Name":"a","SOCKET":"/s"}`, standard},
		"escapes in key and value": {
			`{"n\u0061me":"\u00fc\ud83d\ude00\ud83d\n\/"}`,
			with(func(c *cniwire.NetConf) { c.Name = "ü😀\ufffd\n/" }),
		},
		"empty means not said": {`{"socket":"","stateDir":""}`, standard},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cniwire.ParseNetConf([]byte(test.doc))
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestParseNetConfRefuses(t *testing.T) {
	for _, doc := range []string{
		"", " ", "null", "[]", `"{}"`, "{", `{"name"}`, `{"name":}`, `{"name":"a"`, `{"name":"a",}`, `{"name":"a"}}`,
		`{"name":"a"} x`, `{"name":"\x"}`, `{"name":"\u12"}`, `{"name":"` + "\n" + `"}`, `{name:"a"}`, `{"a":[1,2}`, strings.Repeat("[", 1<<20),
	} {
		if got, err := cniwire.ParseNetConf([]byte(doc)); !errors.Is(err, cniwire.ErrNotObject) {
			t.Errorf("%.40q was taken for %+v, %v", doc, got, err)
		}
	}
}
