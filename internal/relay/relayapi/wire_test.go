// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/openfiles"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

func port(id string) relayapi.TapPort {
	return relayapi.TapPort{
		ID:     id,
		Pod:    relayapi.Link{Netns: "/run/netns/pod", Inode: 7, Name: "tap1"},
		Twin:   relayapi.Link{Name: "twin1"},
		Queues: 2,
	}
}

func memifPort(id string) relayapi.MemifPort {
	return relayapi.MemifPort{
		ID: id,
		Socket: relayapi.MemifSocket{
			Folder: "/run/polynic/memif/x", Name: "memif.sock", Pod: model.Netns{Path: "/run/netns/pod", Inode: 7}, QueuePairs: 1, RingSize: 1024,
		},
		Memif: 2, Secret: "bcd", Mode: relayapi.MemifEthernet, MTU: 1500, Twin: relayapi.Link{Name: "twin1"}, Queues: 1,
	}
}

// The text is what relays and agents of other versions send.
func TestWireText(t *testing.T) {
	failed := relayapi.NewError(fmt.Errorf("tap1: %w", relayapi.ErrTaken))
	for want, message := range map[string]any{
		`{"version":1,"id":3,"op":"attach","ports":[{"id":"c/eth0/tap1","pod":{"netns":"/run/netns/pod","inode":7,"name":"tap1"},` +
			`"twin":{"name":"twin1"},"queues":2}]}`: relayapi.Request{
			Version: 1, ID: 3, Op: relayapi.OpAttach, Ports: []relayapi.TapPort{port("c/eth0/tap1")},
		},
		`{"version":1,"id":6,"op":"attach","ports":[{"id":"t","pod":{"name":"tap1"},"twin":{"name":""},` +
			`"switch":{"socket":"/run/taps.sock","id":7,"secret":"bcd","ringSize":1024,"mtu":1450},"queues":1}]}`: relayapi.Request{
			Version: 1, ID: 6, Op: relayapi.OpAttach, Ports: []relayapi.TapPort{{
				ID: "t", Pod: relayapi.Link{Name: "tap1"}, Queues: 1,
				Switch: relayapi.MemifPeer{Socket: "/run/taps.sock", ID: 7, Secret: "bcd", RingSize: 1024, MTU: 1450},
			}},
		},
		`{"version":1,"id":5,"op":"attach-memifs","memifs":[{"id":"m","socket":{"folder":"/run/polynic/memif/x","name":"memif.sock",` +
			`"pod":{"path":"/run/netns/pod","inode":7},"queuePairs":1,"ringSize":1024},"memif":2,"secret":"bcd","mode":"ethernet","mtu":1500,` +
			`"twin":{"name":"twin1"},"queues":1}]}`: relayapi.Request{
			Version: 1, ID: 5, Op: relayapi.OpAttachMemifs, Memifs: []relayapi.MemifPort{memifPort("m")},
		},
		`{"version":1,"event":{"kind":"peer-refused","id":"a","reason":"wrong secret"}}`: relayapi.Reply{
			Version: 1, Event: &relayapi.Event{Kind: relayapi.EventPeerRefused, ID: "a", Reason: "wrong secret"},
		},
		`{"version":1,"id":4,"op":"detach","ids":["a","b"]}`: relayapi.Request{
			Version: 1, ID: 4, Op: relayapi.OpDetach, IDs: []string{"a", "b"},
		},
		`{"version":1,"id":3,"errors":[null,{"kind":"taken","text":"tap1: the device name is taken"}]}`: relayapi.Reply{
			Version: 1, ID: 3, Errors: []*relayapi.Error{nil, failed},
		},
		`{"version":1,"event":{"kind":"port-failed","id":"a","reason":"gone"}}`: relayapi.Reply{
			Version: 1, Event: &relayapi.Event{Kind: relayapi.EventPortFailed, ID: "a", Reason: "gone"},
		},
	} {
		line, err := relayapi.Encode(message)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want+"\n", string(line)); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for _, sentinel := range []error{relayapi.ErrNetnsGone, relayapi.ErrTaken, relayapi.ErrFolderGone, openfiles.ErrLimit} {
		sent := relayapi.NewError(fmt.Errorf("tap1: %w: reason", sentinel))
		line, err := relayapi.Encode(relayapi.Reply{Version: relayapi.Version, ID: 1, Error: sent})
		if err != nil {
			t.Fatal(err)
		}
		a, err := relayapi.NewReader(bytes.NewReader(line)).Reply()
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(a.Error, sentinel) || a.Error.Error() != sent.Error() {
			t.Errorf("%v arrived as %v", sent, a.Error)
		}
	}
	plain := relayapi.NewError(errors.New("plain"))
	if errors.Is(plain, relayapi.ErrTaken) || errors.Is(plain, relayapi.ErrNetnsGone) || plain.Unwrap() != nil {
		t.Errorf("%v has a kind", plain)
	}
}

func TestReaderIgnoresUnknownFields(t *testing.T) {
	q, err := relayapi.NewReader(strings.NewReader(`{"version":1,"id":1,"op":"list","new":{"a":1}}` + "\n")).Request()
	if err != nil || q.Op != relayapi.OpList {
		t.Errorf("request %+v, %v", q, err)
	}
}

func TestReaderRefuses(t *testing.T) {
	long := strings.Repeat("x", relayapi.MaxMessage)
	for name, line := range map[string]string{
		"no id":      `{"version":1,"op":"list"}`,
		"no object":  `[]`,
		"no JSON":    `list`,
		"wrong type": `{"version":"1"}`,
		"too long":   `{"version":1,"id":1,"op":"` + long + `"}`,
	} {
		if q, err := relayapi.NewReader(strings.NewReader(line + "\n")).Request(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: read as %+v, %v", name, q, err)
		}
	}
	if a, err := relayapi.NewReader(strings.NewReader(`{"version":2,"id":1}` + "\n")).Reply(); err == nil {
		t.Errorf("a reply of version 2 was read as %+v", a)
	}
	if _, err := relayapi.NewReader(strings.NewReader("")).Reply(); !errors.Is(err, io.EOF) {
		t.Errorf("end of stream: %v", err)
	}
	if _, err := relayapi.Encode(relayapi.Request{IDs: []string{long}}); err == nil {
		t.Error("a message was encoded that no reader takes")
	}
}

func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := relayapi.NewReader(bytes.NewReader(data)).Request()
		if err != nil {
			return
		}
		roundTrip(t, q, (*relayapi.Reader).Request)
		for _, p := range q.Ports {
			if p.Validate() == nil && (len(p.ID) > 128 || len(p.Pod.Name) > 15 || len(p.Twin.Netns) > 1024 || p.Queues > 256) {
				t.Errorf("out of bounds and accepted: %+v", p)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := relayapi.NewReader(bytes.NewReader(data)).Reply()
		if err != nil {
			return
		}
		roundTrip(t, a, (*relayapi.Reader).Reply)
	})
}

// roundTrip checks that what was understood is understood the same again.
func roundTrip[M any](t *testing.T, message M, read func(*relayapi.Reader) (M, error)) {
	t.Helper()
	line, err := relayapi.Encode(message)
	if err != nil {
		return // grew over the bound by its escapes
	}
	again, err := read(relayapi.NewReader(bytes.NewReader(line)))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	second, err := relayapi.Encode(again)
	if err != nil || !bytes.Equal(line, second) {
		t.Errorf("first %s, then %s, %v", line, second, err)
	}
}
