// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/api/cniwire"
)

func TestRequestOnTheWire(t *testing.T) {
	message, err := cniwire.AppendRequest(nil, cniwire.Request{Command: "DEL", ContainerID: "c1", IfName: "eth0", Stdin: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	want := "pncq" + "\x00\x01" + "\x00\x00\x00\x27" +
		"\x00\x00\x00\x03DEL" + "\x00\x00\x00\x02c1" + "\x00\x00\x00\x00" + "\x00\x00\x00\x04eth0" +
		"\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x02{}"
	if diff := cmp.Diff(want, string(message)); diff != "" {
		t.Errorf("another version of polynic would not understand it (-want +got):\n%s", diff)
	}
}

func TestReplyOnTheWire(t *testing.T) {
	message, err := cniwire.AppendReply(nil, cniwire.Reply{Status: 1, Stdout: []byte("no")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("pncr\x00\x01\x00\x00\x00\x03\x01no", string(message)); diff != "" {
		t.Errorf("another version of polynic would not understand it (-want +got):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.StringN(0, -1, 40)
	data := rapid.SliceOfN(rapid.Byte(), 0, 3000)
	rapid.Check(t, func(t *rapid.T) {
		request := cniwire.Request{Stdin: data.Draw(t, "stdin")}
		for i, field := range request.Texts() {
			*field = text.Draw(t, cniwire.Variables()[i])
		}
		message, err := cniwire.AppendRequest([]byte("before"), request)
		if err != nil {
			t.Fatal(err)
		}
		stream := strings.NewReader(string(message[len("before"):]) + "behind")
		got, err := cniwire.ReadRequest(iotest.OneByteReader(stream))
		if diff := cmp.Diff(request, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("request came as (-sent +came) %v\n%s", err, diff)
		}
		if rest, _ := io.ReadAll(stream); string(rest) != "behind" {
			t.Fatalf("behind the request is %q", rest)
		}

		reply := cniwire.Reply{Status: rapid.Byte().Draw(t, "status"), Stdout: data.Draw(t, "stdout")}
		if message, err = cniwire.AppendReply(nil, reply); err != nil {
			t.Fatal(err)
		}
		came, err := cniwire.ReadReply(iotest.DataErrReader(bytes.NewReader(message)))
		if diff := cmp.Diff(reply, came, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("reply came as (-sent +came) %v\n%s", err, diff)
		}
	})
}

func TestBounds(t *testing.T) {
	text, stdin := strings.Repeat("x", cniwire.MaxText), make([]byte, cniwire.MaxStdin)
	full := cniwire.Request{Command: text, ContainerID: text, Netns: text, IfName: text, Args: text, Path: text, Stdin: stdin}
	message, err := cniwire.AppendRequest(nil, full)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cniwire.ReadRequest(bytes.NewReader(message))
	if again, _ := cniwire.AppendRequest(nil, got); err != nil || !bytes.Equal(message, again) {
		t.Errorf("the biggest request does not come through: %v", err)
	}
	for name, request := range map[string]cniwire.Request{
		"CNI_ARGS":       {Args: text + "x"},
		"standard input": {Stdin: append(stdin, 'x')},
	} {
		var bound *cniwire.BoundError
		if _, err := cniwire.AppendRequest(nil, request); !errors.As(err, &bound) || bound.Field != name {
			t.Errorf("%s beyond its bound: %v", name, err)
		}
	}
	if message, err = cniwire.AppendReply(nil, cniwire.Reply{Stdout: make([]byte, cniwire.MaxStdout)}); err != nil {
		t.Fatal(err)
	}
	if _, err := cniwire.ReadReply(bytes.NewReader(message)); err != nil {
		t.Errorf("the biggest reply does not come through: %v", err)
	}
	if _, err := cniwire.AppendReply(nil, cniwire.Reply{Stdout: make([]byte, cniwire.MaxStdout+1)}); err == nil {
		t.Error("a reply beyond its bound was encoded")
	}
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		message string
		want    error
	}{
		"nothing":              {"", io.EOF},
		"half a header":        {"pncr\x00", io.ErrUnexpectedEOF},
		"header alone":         {"pncr\x00\x01\x00\x00\x00\x03", io.ErrUnexpectedEOF},
		"half a body":          {"pncr\x00\x01\x00\x00\x00\x03\x01n", io.ErrUnexpectedEOF},
		"another protocol":     {"HTTP/1.1 400 Bad Request", cniwire.ErrMalformed},
		"a request as reply":   {"pncq\x00\x01\x00\x00\x00\x03\x01no", cniwire.ErrMalformed},
		"no status":            {"pncr\x00\x01\x00\x00\x00\x00", cniwire.ErrMalformed},
		"length beyond bounds": {"pncr\x00\x01\xff\xff\xff\xff\x01no", cniwire.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := cniwire.ReadReply(strings.NewReader(test.message)); !errors.Is(err, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestReadNamesTheOtherVersion(t *testing.T) {
	// Whatever the body of version 258 looks like, its header is this.
	const header = "\x01\x02\x00\x00\x00\x02??"
	_, requestErr := cniwire.ReadRequest(strings.NewReader("pncq" + header))
	_, replyErr := cniwire.ReadReply(strings.NewReader("pncr" + header))
	for _, err := range []error{requestErr, replyErr} {
		var version *cniwire.VersionError
		if !errors.As(err, &version) || version.Theirs != 258 {
			t.Errorf("got %v, want version 258", err)
		}
	}
}
