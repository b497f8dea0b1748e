// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package rings_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/polynic/polynic/memif"
)

// endpoint is an application with as much of TCP as a benchmark needs, so that
// next to nothing is measured but the relay: IPv4 without options, one connection
// from and to port 9. What is lost it asks for again, or sends again.
type endpoint struct {
	conn     *memif.Conn
	next     uint32 // of the other's sequence
	acked    uint32 // of the own sequence
	sent     uint32
	window   uint32
	shift    byte // of the window
	port     uint16
	packets  [][]byte
	template [54 + segmentLen]byte
}

const (
	segmentLen = 1446      // so that the packet has 1500 bytes
	window     = 640 << 10 // as much as the queue of a tap holds: 500 packets
	listenPort = 9
	flagSYN    = 2
	flagACK    = 16
)

func newEndpoint(t testing.TB, app *memif.Interface, port uint16) *endpoint {
	t.Helper()
	e := &endpoint{conn: connected(t, app), port: port}
	for range 256 {
		e.packets = append(e.packets, make([]byte, 0, 2048))
	}
	p := e.template[:]
	copy(p, twinMAC[:])
	copy(p[6:], appMAC[:])
	copy(p[12:], []byte{8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 79, 0, 2, 10, 79, 0, 1})
	binary.BigEndian.PutUint16(p[34:], listenPort)
	return e
}

// segment makes p a segment with a payload of zeros.
func (e *endpoint) segment(p []byte, flags byte, options []byte, payload int) []byte {
	p = append(p[:0], e.template[:54+len(options)+payload]...)
	copy(p[54:], options)
	tcp := p[34:]
	binary.BigEndian.PutUint16(tcp[2:], e.port)
	binary.BigEndian.PutUint32(tcp[4:], e.sent)
	binary.BigEndian.PutUint32(tcp[8:], e.next)
	tcp[12], tcp[13], tcp[14] = byte(20+len(options))<<2, flags, window>>16
	binary.BigEndian.PutUint16(p[16:], uint16(len(p)-14))
	binary.BigEndian.PutUint16(p[24:], onesComplement(0, p[14:34]))
	pseudo := uint32(6 + len(tcp))
	binary.BigEndian.PutUint16(tcp[16:], onesComplement(pseudo, p[26:34], tcp[:20+len(options)]))
	return p
}

func onesComplement(s uint32, parts ...[]byte) uint16 {
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(b[0])<<8 | uint32(b[1])
		}
	}
	s = s>>16 + s&0xffff
	return ^uint16(s>>16 + s)
}

// options of a SYN: segments of 1446 bytes, windows in units of 256 bytes.
func options() []byte { return []byte{2, 4, segmentLen >> 8, segmentLen & 0xff, 1, 3, 3, 8} }

// receive takes packets, and gives the number of segments, and of those among
// them that do not follow what came before.
func (e *endpoint) receive(ctx context.Context) (segments, strays int, err error) {
	rx := e.conn.RxQueues()[0]
	if err := rx.Wait(ctx); err != nil {
		return 0, 0, err
	}
	n, err := rx.Receive(e.packets)
	for _, p := range e.packets[:n] {
		if len(p) < 54 || p[12] != 8 || p[13] != 0 || p[23] != 6 {
			continue
		}
		segments++
		if !e.take(p[34 : 14+int(binary.BigEndian.Uint16(p[16:]))]) {
			strays++
		}
	}
	return segments, strays, err
}

// take reports whether a segment follows what came before.
func (e *endpoint) take(tcp []byte) bool {
	header := int(tcp[12]>>4) * 4
	seq, ack := binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	e.window = uint32(binary.BigEndian.Uint16(tcp[14:])) << e.shift
	if tcp[13]&flagSYN != 0 {
		e.port, e.next = binary.BigEndian.Uint16(tcp), seq+1
		e.shift = windowShift(tcp[20:header])
	} else {
		end := seq + uint32(len(tcp)-header)
		if int32(seq-e.next) > 0 {
			return false
		}
		e.next += uint32(max(0, int32(end-e.next)))
	}
	if tcp[13]&flagACK != 0 && int32(ack-e.acked) > 0 {
		e.acked = ack
	}
	return true
}

// windowShift finds the window scale option (RFC 7323) of a SYN.
func windowShift(options []byte) byte {
	for o := options; len(o) > 2 && o[0] != 0; {
		switch o[0] {
		case 1:
			o = o[1:]
		case 3:
			return o[2]
		default:
			o = o[max(2, min(int(o[1]), len(o))):]
		}
	}
	return 0
}

func (e *endpoint) send(packets ...[]byte) error {
	for len(packets) > 0 {
		n, err := e.conn.TxQueues()[0].Transmit(packets)
		if err != nil {
			return err
		}
		packets = packets[n:]
	}
	return nil
}

// sink accepts a connection and takes what comes, until ctx ends.
func (e *endpoint) sink(ctx context.Context) error {
	ack := make([]byte, 0, 100)
	for ctx.Err() == nil {
		n, strays, err := e.receive(ctx)
		if err != nil || n == 0 {
			continue
		}
		if e.sent == 0 {
			err = e.send(e.segment(ack, flagSYN|flagACK, options(), 0))
			e.sent++
		} else {
			// As many say the same as make the sender send again.
			for range min(strays, 4) + 1 {
				err = e.send(e.segment(ack, flagACK, nil, 0))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// source connects, and sends as the window allows, until ctx ends.
func (e *endpoint) source(ctx context.Context) error {
	if err := e.send(e.segment(nil, flagSYN, options(), 0)); err != nil {
		return err
	}
	burst := make([][]byte, 64)
	e.sent++
	repeated := 0
	for ctx.Err() == nil {
		before := e.acked
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		segments, _, _ := e.receive(soon)
		late := soon.Err() != nil
		cancel()
		if e.acked == before {
			repeated += segments
		} else {
			repeated = 0
		}
		if repeated >= 3 || late { // something was lost
			e.sent = e.acked
			repeated = -window / segmentLen // what is sent again says so, too
		}
		for {
			n := min(len(burst), (int(min(e.window, window))-int(e.sent-e.acked))/segmentLen)
			if n <= 0 {
				break
			}
			for i := range n {
				burst[i] = e.segment(burst[i], flagACK, nil, segmentLen)
				e.sent += segmentLen
			}
			if err := e.send(burst[:n]...); err != nil {
				return err
			}
		}
	}
	return nil
}
