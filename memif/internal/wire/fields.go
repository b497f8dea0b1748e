// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The order of the calls below is the order of the fields on the wire.

func (Ack) put(*writer) {}

func (m Hello) put(w *writer) {
	w.text(m.Name, NameLen)
	w.u16(m.MinVersion)
	w.u16(m.MaxVersion)
	w.u16(m.MaxRegion)
	w.u16(m.MaxM2SRing)
	w.u16(m.MaxS2MRing)
	w.u8(m.MaxLog2RingSize)
}

func (r *reader) hello() Hello {
	return Hello{
		Name:            r.text(NameLen),
		MinVersion:      r.u16(),
		MaxVersion:      r.u16(),
		MaxRegion:       r.u16(),
		MaxM2SRing:      r.u16(),
		MaxS2MRing:      r.u16(),
		MaxLog2RingSize: r.u8(),
	}
}

func (m Init) put(w *writer) {
	w.u16(m.Version)
	w.u32(m.ID)
	w.u8(m.Mode)
	w.bytes(m.Secret[:])
	w.text(m.Name, NameLen)
}

func (r *reader) init() Init {
	m := Init{Version: r.u16(), ID: r.u32(), Mode: r.u8()}
	secret, _, _ := bytes.Cut(r.bytes(SecretLen), []byte{0})
	copy(m.Secret[:], secret)
	m.Name = r.text(NameLen)
	return m
}

func (m AddRegion) put(w *writer) {
	w.u16(m.Index)
	w.u64(m.Size)
}

func (m AddRing) put(w *writer) {
	w.u16(m.Flags)
	w.u16(m.Index)
	w.u16(m.Region)
	w.u32(m.Offset)
	w.u8(m.Log2RingSize)
	w.u16(m.PrivateHdrSize)
}

func (r *reader) addRing() AddRing {
	return AddRing{
		Flags:          r.u16(),
		Index:          r.u16(),
		Region:         r.u16(),
		Offset:         r.u32(),
		Log2RingSize:   r.u8(),
		PrivateHdrSize: r.u16(),
	}
}

func (m Connect) put(w *writer) { w.text(m.Interface, NameLen) }

func (m Connected) put(w *writer) { w.text(m.Interface, NameLen) }

func (m Disconnect) put(w *writer) {
	w.u32(m.Code)
	w.text(m.Reason, ReasonLen)
}

// writer fills a message from its start.
type writer struct {
	b [Size]byte
	n int
}

func (w *writer) next(n int) []byte {
	w.n += n
	return w.b[w.n-n : w.n]
}

func (w *writer) u8(v uint8)     { w.next(1)[0] = v }
func (w *writer) u16(v uint16)   { binary.NativeEndian.PutUint16(w.next(2), v) }
func (w *writer) u32(v uint32)   { binary.NativeEndian.PutUint32(w.next(4), v) }
func (w *writer) u64(v uint64)   { binary.NativeEndian.PutUint64(w.next(8), v) }
func (w *writer) bytes(v []byte) { copy(w.next(len(v)), v) }

// text leaves room for the zero byte that ends it.
func (w *writer) text(s string, n int) { copy(w.next(n)[:n-1], s) }

// reader takes a message apart from its start; it is as long as a message.
type reader struct{ b []byte }

func (r *reader) bytes(n int) []byte {
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8   { return r.bytes(1)[0] }
func (r *reader) u16() uint16 { return binary.NativeEndian.Uint16(r.bytes(2)) }
func (r *reader) u32() uint32 { return binary.NativeEndian.Uint32(r.bytes(4)) }
func (r *reader) u64() uint64 { return binary.NativeEndian.Uint64(r.bytes(8)) }

// text takes the last byte for a zero, whatever it is.
func (r *reader) text(n int) string {
	text, _, _ := bytes.Cut(r.bytes(n)[:n-1], []byte{0})
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, string(text))
}
