// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"bufio"
	"encoding/binary"
	"net"
	"reflect"
	"testing"
	"time"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/feature"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/codec"
)

// patience is how long a VPP may take to answer a Peer.
const patience = 10 * time.Second

// Peer is a bare client of a VPP: for scripts of messages, and for what a test
// does to a VPP behind a driver's back. It is for one goroutine.
type Peer struct {
	t       testing.TB
	conn    net.Conn
	r       *bufio.Reader
	index   uint32
	numbers map[string]uint16
	context uint32
	events  []interfaces.SwInterfaceEvent
}

// Dial connects to a VPP. The connection is closed when the test ends.
func Dial(t testing.TB, socket string) *Peer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &Peer{t: t, conn: conn, r: bufio.NewReader(conn), numbers: map[string]uint16{}}
	hello, err := encode(&memclnt.SockclntCreate{Name: "vpptest"}, sockclntCreate, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.send(hello)
	var reply memclnt.SockclntCreateReply
	if err := codec.DecodeMsg(p.receive(), &reply); err != nil {
		t.Fatal(err)
	}
	p.index = reply.Index
	for _, m := range reply.MessageTable {
		p.numbers[m.Name] = m.Index
	}
	return p
}

// Ask asks for something, and gives the answer.
func Ask[R any, PR pointer[R]](p *Peer, request api.Message) *R {
	p.t.Helper()
	reply := PR(new(R))
	context := p.ask(request)
	for {
		number, data := p.next(context)
		if number == p.number(reply) {
			if err := codec.DecodeMsg(data, reply); err != nil {
				p.t.Fatal(err)
			}
			return (*R)(reply)
		}
	}
}

// Do asks for something that must not be refused, and gives the answer.
func Do[R any, PR pointer[R]](p *Peer, request api.Message) *R {
	p.t.Helper()
	reply := Ask[R, PR](p, request)
	if retval := retvalOf(reply); retval != ok {
		p.t.Fatalf("%s %+v: %v", request.GetMessageName(), request, retval)
	}
	return reply
}

// List asks for a dump, and gives what is in it.
func List[D any, PD pointer[D]](p *Peer, request api.Message) []D {
	p.t.Helper()
	var all []D
	wanted := p.number(PD(new(D)))
	context, last := p.ask(request), p.ask(&memclnt.ControlPing{})
	for {
		number, data := p.next(context, last)
		switch number {
		case wanted:
			var d D
			if err := codec.DecodeMsg(data, PD(&d)); err != nil {
				p.t.Fatal(err)
			}
			all = append(all, d)
		case p.number(&memclnt.ControlPingReply{}):
			return all
		}
	}
}

// Events are the events about interfaces that came since the last call, at least
// so many.
func (p *Peer) Events(atLeast int) []interfaces.SwInterfaceEvent {
	p.t.Helper()
	Ask[memclnt.ControlPingReply](p, &memclnt.ControlPing{})
	for len(p.events) < atLeast {
		p.note(p.receive())
	}
	events := p.events
	p.events = nil
	return events
}

// Knows reports whether the VPP has a message, with the same content.
func (p *Peer) Knows(m api.Message) bool {
	_, known := p.numbers[key(m)]
	return known
}

func (p *Peer) number(m api.Message) uint16 {
	p.t.Helper()
	number, known := p.numbers[key(m)]
	if !known {
		p.t.Fatalf("VPP has no message %s", key(m))
	}
	return number
}

func (p *Peer) ask(request api.Message) (context uint32) {
	p.t.Helper()
	p.context++
	data, err := encode(request, p.number(request), p.index, p.context)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(data)
	return p.context
}

func (p *Peer) send(data []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(appendMessage(nil, data)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Peer) receive() []byte {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	data, err := readMessage(p.r, maxReply)
	if err != nil {
		p.t.Fatalf("VPP's answer: %v", err)
	}
	return data
}

// next is the next message in reply to one of the requests; events are noted.
func (p *Peer) next(contexts ...uint32) (uint16, []byte) {
	p.t.Helper()
	for {
		data := p.receive()
		number := binary.BigEndian.Uint16(data)
		if p.note(data) {
			continue
		}
		at := 2
		if number == p.numbers[key(&feature.FeatureIsEnabledReply{})] {
			at = 6 // it has a client's index before, like a request
		}
		for _, context := range contexts {
			if binary.BigEndian.Uint32(data[at:]) == context {
				return number, data
			}
		}
		p.t.Fatalf("VPP sent message %d, which nobody asked for", number)
	}
}

// note keeps an event, and reports whether it is one.
func (p *Peer) note(data []byte) bool {
	p.t.Helper()
	if binary.BigEndian.Uint16(data) != p.numbers[key(&interfaces.SwInterfaceEvent{})] {
		return false
	}
	var e interfaces.SwInterfaceEvent
	if err := codec.DecodeMsg(data, &e); err != nil {
		p.t.Fatal(err)
	}
	p.events = append(p.events, e)
	return true
}

// retvalOf is what a reply says of its request.
func retvalOf(reply any) api.VPPApiError {
	return api.VPPApiError(reflect.ValueOf(reply).Elem().FieldByName("Retval").Int())
}
