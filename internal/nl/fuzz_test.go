// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// FuzzAnswers reads whatever the kernel might send: nothing panics, and no
// request gets another's answer.
func FuzzAnswers(f *testing.F) {
	link := newMessage(unix.RTM_NEWLINK, 0, linkHeader(7, unix.IFF_UP, 0)...)
	link.vethEnd(VethEnd{Name: "veth1", MAC: model.MAC{2, 0xfe, 0, 0, 0, 1}}, 1450)
	link.nest(unix.IFLA_LINKINFO, func() { link.text(unix.IFLA_INFO_KIND, "veth") })
	link.number(1)
	refused := newMessage(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, 0xef, 0xff, 0xff, 0xff)
	refused = append(refused, make([]byte, unix.NLMSG_HDRLEN)...)
	refused.text(unix.NLMSGERR_ATTR_MSG, "file exists")
	refused.number(2)
	f.Add([]byte(link))
	f.Add([]byte(refused))
	f.Add(append(append([]byte{}, link...), refused...))
	f.Fuzz(func(t *testing.T, data []byte) {
		found := false
		requests := []*Request{
			{answer: func(body []byte) error { _, found = ParseLink(body); return nil }},
			{},
		}
		results := make([]error, len(requests))
		last, err := take(data, 1, requests, results)
		if last && err != nil {
			t.Errorf("both acknowledged and malformed: %v", err)
		}
		if found && len(data) < unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg {
			t.Error("a link was found in less than a link's message")
		}
		for m, err := range messages(data) {
			if err != nil {
				return
			}
			_, _ = ParseAddress(m.body)
			_, _ = parseNeighbor(m.body)
			_, _ = parseRoute(m.body)
			_, _ = parseRule(m.body)
			_ = verdict(m.body, m.flags)
		}
	})
}

// What is written is what is read.
func TestMessageForm(t *testing.T) {
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE, linkHeader(7, unix.IFF_UP, 0)...)
	m.vethEnd(VethEnd{Name: "veth1", MAC: model.MAC{2, 0xfe, 0, 0, 0, 1}}, 1450)
	m.nest(unix.IFLA_LINKINFO, func() { m.text(unix.IFLA_INFO_KIND, "veth") })
	m.number(3)
	m.ask(unix.NLM_F_ACK)
	count := 0
	for r, err := range messages(m) {
		count++
		const flags = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_ACK
		if err != nil || r.kind != unix.RTM_NEWLINK || r.flags != flags || r.number != 3 {
			t.Errorf("header %+v, %v", r, err)
		}
		want := Link{
			Index: 7, Name: "veth1", Kind: "veth", MAC: model.MAC{2, 0xfe, 0, 0, 0, 1}, MTU: 1450, Up: true,
			PeerNamespace: OwnNamespace,
		}
		if got, ok := ParseLink(r.body); !ok || got != want {
			t.Errorf("link %+v, %v; want %+v", got, ok, want)
		}
	}
	if count != 1 {
		t.Errorf("%d messages", count)
	}
	if err := verdict([]byte{0xef, 0xff, 0xff, 0xff}, 0); !errors.Is(err, unix.EEXIST) {
		t.Errorf("verdict %v, want EEXIST", err)
	}
}
