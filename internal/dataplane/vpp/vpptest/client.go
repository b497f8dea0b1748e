// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpptest

import (
	"bufio"
	"encoding/binary"
	"net"
	"slices"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/memclnt"
	"go.fd.io/govpp/codec"
)

// handleBit is in the index that VPP gives a client of its socket
// (SOCK_API_REG_HANDLE_BIT).
const handleBit = 1 << 31

// client is one connection.
type client struct {
	server *Server
	conn   net.Conn
	index  uint32
	out    *outbox
	gone   chan struct{} // closed by hangUp
	world  *world        // the one that it talks to

	// events is its process id, if it wants to hear of interfaces; Server.mu
	// guards it.
	events *uint32
}

// hangUp ends the connection at once. Server.mu is held.
func (c *client) hangUp() {
	select {
	case <-c.gone:
	default:
		close(c.gone)
		_ = c.conn.Close()
		c.out.close()
	}
}

func (s *Server) accept(listener *net.UnixListener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		c := &client{server: s, conn: conn, out: newOutbox(), gone: make(chan struct{})}
		s.mu.Lock()
		if s.listener != listener {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		c.world, c.index = s.world, s.next|handleBit
		s.next++
		s.clients[c.index] = c
		s.serving.Go(func() {
			c.out.drain(conn)
			_ = conn.Close()
		})
		s.serving.Go(func() { s.serve(c) })
		s.mu.Unlock()
	}
}

// serve serves a client until it leaves, or says what no client of VPP's says.
func (s *Server) serve(c *client) {
	r := bufio.NewReader(c.conn)
	for {
		data, err := readMessage(r, maxRequest)
		if err != nil || !s.awake(c) || !s.handle(c, data) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c.index)
	c.out.close() // what was answered is still sent
}

// awake waits while the server hangs, and reports whether the client is there.
func (s *Server) awake(c *client) bool {
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	select {
	case <-hung:
		return true
	case <-c.gone:
		return false
	}
}

// handle serves one message, and reports whether the client goes on. What VPP
// does not understand it does not answer.
func (s *Server) handle(c *client, data []byte) bool {
	if len(data) < 2 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world != c.world {
		return false
	}
	number := binary.BigEndian.Uint16(data)
	if number == sockclntCreate {
		return s.hello(c, data)
	}
	if len(data) < headerLen || binary.BigEndian.Uint32(data[2:]) != c.index {
		return true
	}
	context := binary.BigEndian.Uint32(data[6:])
	if number == sockclntDelete {
		c.send(&memclnt.SockclntDeleteReply{Response: 1}, sockclntDeleteReply, context)
		return false
	}
	h, ok := s.names.handlers[number]
	if !ok {
		return true
	}
	request := h.request()
	if s.isHidden(request.GetMessageName()) || codec.DecodeMsg(data, request) != nil {
		return true
	}
	s.calls[request.GetMessageName()]++
	if s.config.Heard != nil {
		s.config.Heard(request)
	}
	for _, reply := range s.answer(c, h, request) {
		c.send(reply, s.names.numbers[key(reply)], context)
	}
	s.tell()
	return true
}

// answer is what the world answers, or a failure that was ordered.
func (s *Server) answer(c *client, h handler, request api.Message) []api.Message {
	var fails *failure
	for _, f := range s.failures {
		if f.message == request.GetMessageName() {
			if f.in--; f.in == 0 {
				fails = f
			}
		}
	}
	s.failures = slices.DeleteFunc(s.failures, func(f *failure) bool { return f.in == 0 })
	switch {
	case fails != nil && h.refuse == nil:
		return nil
	case fails != nil:
		return []api.Message{h.refuse(fails.retval)}
	}
	s.world.asking = c
	defer func() { s.world.asking = nil }()
	return h.serve(s.world, request)
}

// hello makes a client known, and gives it the table of messages.
func (s *Server) hello(c *client, data []byte) bool {
	var request memclnt.SockclntCreate
	if len(data) < 6 || codec.DecodeMsg(data, &request) != nil {
		return true
	}
	reply := &memclnt.SockclntCreateReply{Index: c.index, MessageTable: s.names.table(s.isHidden)}
	reply.Count = uint16(len(reply.MessageTable))
	c.send(reply, sockclntCreateReply, binary.BigEndian.Uint32(data[2:]))
	return true
}

// tell tells the clients that want to know what happened to interfaces. s.mu is
// held.
func (s *Server) tell() {
	for _, e := range s.world.takeEvents() {
		for _, c := range s.clients {
			if c.events == nil {
				continue
			}
			e.PID = *c.events
			c.send(&e, s.names.numbers[key(&interfaces.SwInterfaceEvent{})], 0)
		}
	}
}

// send sends a message. Server.mu is held.
func (c *client) send(m api.Message, number uint16, context uint32) {
	data, err := encode(m, number, c.index, context)
	if err != nil {
		c.server.t.Errorf("vpptest: %v", err)
		return
	}
	c.out.put(data)
}
