// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// every message, with the bytes that a little-endian machine puts on the wire
// up to the last that is not zero.
func samples() []struct {
	m    Message
	wire string
} {
	secret := [SecretLen]byte{}
	copy(secret[:], "s3cret")
	return []struct {
		m    Message
		wire string
	}{
		{Ack{}, "\x01"},
		{
			Hello{Name: "app", MinVersion: 0x200, MaxVersion: 0x201, MaxRegion: 3, MaxM2SRing: 4, MaxS2MRing: 5, MaxLog2RingSize: 14},
			"\x02\x00app" + zeros(29) + "\x00\x02\x01\x02\x03\x00\x04\x00\x05\x00\x0e",
		},
		{
			Init{Version: 0x200, ID: 0x01020304, Mode: ModeIP, Secret: secret, Name: "app"},
			"\x03\x00\x00\x02\x04\x03\x02\x01\x01s3cret" + zeros(18) + "app",
		},
		{AddRegion{Index: 1, Size: 0x1122334455667788}, "\x04\x00\x01\x00\x88\x77\x66\x55\x44\x33\x22\x11"},
		{
			AddRing{Flags: FlagS2M, Index: 2, Region: 3, Offset: 0x0a0b0c0d, Log2RingSize: 10, PrivateHdrSize: 0x0102},
			"\x05\x00\x01\x00\x02\x00\x03\x00\x0d\x0c\x0b\x0a\x0a\x02\x01",
		},
		{Connect{Interface: "net_memif0"}, "\x06\x00net_memif0"},
		{Connected{Interface: "memif1/0"}, "\x07\x00memif1/0"},
		{Disconnect{Code: 7, Reason: "bye"}, "\x08\x00\x07\x00\x00\x00bye"},
	}
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

func TestLayout(t *testing.T) {
	if bigEndian() {
		t.Skip("the expected bytes are those of a little-endian machine")
	}
	for _, s := range samples() {
		got := Encode(s.m)
		if diff := cmp.Diff([]byte(s.wire+zeros(Size-len(s.wire))), got[:]); diff != "" {
			t.Errorf("%#v on the wire (-want +got):\n%s", s.m, diff)
		}
	}
}

func bigEndian() bool { b := Encode(Ack{}); return b[0] == 0 }

func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		b := Encode(s.m)
		got, err := Decode(b[:])
		if err != nil {
			t.Fatalf("%#v: %v", s.m, err)
		}
		if diff := cmp.Diff(s.m, got); diff != "" {
			t.Errorf("decoded (-sent +got):\n%s", diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	ack := Encode(Ack{})
	unknown := ack
	unknown[0], unknown[1] = 9, 9
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrSize},
		{"a byte too few", ack[:Size-1], ErrSize},
		{"a byte too many", append(bytes.Clone(ack[:]), 0), ErrSize},
		{"type 0", make([]byte, Size), ErrType},
		{"unknown type", unknown[:], ErrType},
	} {
		if m, err := Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, m, err, c.want)
		}
	}
}

func TestTextsAreFitToBeShown(t *testing.T) {
	b := Encode(Connect{Interface: "a\x1b[2J\xff\u202eé" + strings.Repeat("x", 40)})
	m, err := Decode(b[:])
	if err != nil {
		t.Fatal(err)
	}
	want := "a?[2J??é" + strings.Repeat("x", 31-len("a\x1b[2J\xff\u202eé"))
	if got := m.(Connect).Interface; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a sloppy peer leaves behind the end of its secret is no part of it.
func TestSecretEndsAtZero(t *testing.T) {
	sent := Init{Version: Version}
	copy(sent.Secret[:], "abc\x00rubbish")
	b := Encode(sent)
	m, err := Decode(b[:])
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(Init).Secret; got != [SecretLen]byte{'a', 'b', 'c'} {
		t.Errorf("secret is %q", got)
	}
}

// FuzzDecode: whatever comes in, Decode says what it is or refuses it, and what
// it understood says the same when it is sent on.
func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		b := Encode(s.m)
		f.Add(b[:])
	}
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrSize) && !errors.Is(err, ErrType) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again := Encode(m)
		m2, err := Decode(again[:])
		if err != nil {
			t.Fatalf("%#v cannot be read again: %v", m, err)
		}
		if diff := cmp.Diff(m, m2); diff != "" {
			t.Fatalf("changed on its way (-first +second):\n%s", diff)
		}
	})
}
