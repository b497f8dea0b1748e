// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"iter"

	vnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// message is a netlink message while it is written: header, body, attributes.
// Its length is kept true (include/uapi/linux/netlink.h).
type message []byte

func newMessage(kind, flags uint16, body ...byte) message {
	m := make(message, unix.NLMSG_HDRLEN, 128)
	binary.NativeEndian.PutUint16(m[4:], kind)
	m.ask(unix.NLM_F_REQUEST | flags)
	m = append(m, body...)
	m.measure()
	return m
}

// ask sets flags of the header.
func (m message) ask(flags uint16) {
	binary.NativeEndian.PutUint16(m[6:], binary.NativeEndian.Uint16(m[6:])|flags)
}

// number sets the sequence number.
func (m message) number(n uint32) { binary.NativeEndian.PutUint32(m[8:], n) }

func (m message) measure() { binary.NativeEndian.PutUint32(m, uint32(len(m))) }

// align rounds up to the 4 bytes to which messages and attributes are padded.
func align(length int) int { return (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// attr appends an attribute (struct rtattr: length, type, value, padding).
func (m *message) attr(kind uint16, value []byte) {
	*m = binary.NativeEndian.AppendUint16(*m, uint16(unix.SizeofRtAttr+len(value)))
	*m = binary.NativeEndian.AppendUint16(*m, kind)
	*m = append(*m, value...)
	*m = append(*m, make([]byte, align(len(value))-len(value))...)
	m.measure()
}

func (m *message) uint8(kind uint16, value uint8) { m.attr(kind, []byte{value}) }

func (m *message) uint32(kind uint16, value uint32) {
	m.attr(kind, binary.NativeEndian.AppendUint32(nil, value))
}

// text appends a string with the zero byte that ends it.
func (m *message) text(kind uint16, value string) { m.attr(kind, append([]byte(value), 0)) }

// nest appends an attribute whose value is what inside writes.
func (m *message) nest(kind uint16, inside func()) {
	start := len(*m)
	m.attr(kind, nil)
	inside()
	binary.NativeEndian.PutUint16((*m)[start:], uint16(len(*m)-start))
}

// attributes are those of a message's body, as far as they are well formed.
func attributes(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(data))
			if length < unix.SizeofRtAttr || length > len(data) {
				return
			}
			const kinds = vnl.NLA_TYPE_MASK // without the flags
			if !yield(binary.NativeEndian.Uint16(data[2:])&kinds, data[unix.SizeofRtAttr:length]) {
				return
			}
			data = data[min(align(length), len(data)):]
		}
	}
}
