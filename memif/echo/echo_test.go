// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package echo

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// me is 10.1.1.5 and fd00::5.
func me() Host {
	return Host{
		MAC:       [6]byte{2, 0xfe, 0, 0, 0, 5},
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.1.5"), netip.MustParseAddr("fd00::5")},
	}
}

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	arpRequest = "ffffffffffff 02fe00000001 0806 0001 0800 06 04 0001 02fe00000001 0a010101 000000000000 0a010105"
	arpReply   = "02fe00000001 02fe00000005 0806 0001 0800 06 04 0002 02fe00000005 0a010105 02fe00000001 0a010101"

	ping4Ask    = "02fe00000005 02fe00000001 0800 4500001c00000000400124d9 0a010102 0a010105 0800 f7fd 0001 0001"
	ping4Answer = "02fe00000001 02fe00000005 0800 4500001c00000000400124d9 0a010105 0a010102 0000 fffd 0001 0001"

	fd2      = "fd000000000000000000000000000002"
	fd5      = "fd000000000000000000000000000005"
	ping6Ask = "02fe00000005 02fe00000001 86dd 60000000 0008 3a40 " + fd2 + fd5 + "8000 85b2 0001 0001"
	ping6Ans = "02fe00000001 02fe00000005 86dd 60000000 0008 3a40 " + fd5 + fd2 + "8100 84b2 0001 0001"

	solicit   = "3333ff000005 02fe00000001 86dd 60000000 0020 3aff " + fd2 + "ff0200000000000000000001ff000005 8700 0000 00000000" + fd5 + "0101 02fe00000001"
	advertise = "02fe00000001 02fe00000005 86dd 60000000 0020 3aff " + fd5 + fd2 + "8800 1b92 60000000" + fd5 + "0201 02fe00000005"
)

func TestAnswers(t *testing.T) {
	for ask, want := range map[string]string{
		arpRequest: arpReply, ping4Ask: ping4Answer, ping6Ask: ping6Ans, solicit: advertise,
		strings.Replace(arpRequest, "0a010105", "0a010106", 1):    "",
		strings.Replace(ping4Ask, "0a010105", "0a010106", 1):      "",
		strings.Replace(ping6Ask, fd5, fd2, 1):                    "",
		strings.Replace(solicit, fd2, strings.Repeat("0", 32), 1): "",
		arpReply: "", ping4Answer: "", ping6Ans: "", advertise: "",
	} {
		if got, want := me().Answer(bytesOf(t, ask)), bytesOf(t, want); !bytes.Equal(got, want) {
			t.Errorf("to    %s\nanswer %x\nwant   %x", ask, got, want)
		}
	}
}

// The checksum of an answer is right where that of the question was.
func TestChecksums(t *testing.T) {
	for _, frame := range []string{ping6Ask, ping6Ans, advertise} {
		packet := bytesOf(t, frame)[ethernet:]
		if sum := sum16(slices.Concat(packet[8:40], packet[4:6], []byte{0, 58}, packet[ipv6:])); sum != 0xffff {
			t.Errorf("%s: the sum of all is %#x", frame, sum)
		}
	}
	for _, frame := range []string{ping4Ask, ping4Answer} {
		if sum := sum16(bytesOf(t, frame)[ethernet+ipv4:]); sum != 0xffff {
			t.Errorf("%s: the sum of all is %#x", frame, sum)
		}
	}
}

// Whatever comes, an answer goes to who asked.
func FuzzAnswer(f *testing.F) {
	for _, frame := range []string{arpRequest, ping4Ask, ping6Ask, solicit, ""} {
		f.Add(bytesOf(f, frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, asked := me(), bytes.Clone(frame)
		if answer := h.Answer(frame); answer != nil && (!bytes.Equal(answer[:6], asked[6:12]) || [6]byte(answer[6:12]) != h.MAC) {
			t.Errorf("to %x answer %x", asked, answer)
		}
	})
}
