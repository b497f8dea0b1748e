// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif/internal/shm"
	"github.com/polynic/polynic/memif/internal/wire"
	"github.com/polynic/polynic/memif/memiftest"
)

// script turns fuzzed bytes into what a peer sends: mostly messages that are
// right or nearly so, in any order.
type script struct {
	data    []byte
	files   files
	regions uint16
	rings   [2]uint16 // M2S, S2M
}

// files are what a peer may send along.
type files struct{ sealed, unsealed, eventfd, pipe int }

func openFiles(t testing.TB) files {
	t.Helper()
	f := files{}
	var memory []byte
	var err error
	if f.sealed, memory, err = memiftest.Memfd(1<<16, memiftest.SealShrink); err != nil {
		t.Fatal(err)
	}
	// Rings of 2^1 to 2^8 can be found at the start and at 32 KiB.
	for _, at := range []uint32{0, 1 << 15} {
		if _, err := shm.Format(memory, at, 8); err != nil {
			t.Fatal(err)
		}
	}
	_ = memiftest.Unmap(memory)
	if f.unsealed, memory, err = memiftest.Memfd(1<<16, memiftest.NoSeal); err != nil {
		t.Fatal(err)
	}
	_ = memiftest.Unmap(memory)
	if f.eventfd, err = newEventfd(); err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	f.pipe = p[0]
	t.Cleanup(func() {
		for _, fd := range []int{f.sealed, f.unsealed, f.eventfd, p[0], p[1]} {
			unix.Close(fd)
		}
	})
	return f
}

// next is the next fuzzed byte modulo n.
func (s *script) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

// rarely gives the second value once in eight times.
func rarely[T any](s *script, right, wrong T) T {
	if s.next(8) == 7 {
		return wrong
	}
	return right
}

// message is the next message, in bytes, and its files.
func (s *script) message() (b []byte, fds []int) {
	var m wire.Message
	switch s.next(12) {
	case 0, 1:
		m = wire.Init{Version: rarely(s, wire.Version, 1), ID: uint32(rarely(s, 0, 1)), Mode: uint8(rarely(s, 0, 1)), Secret: rarely(s, memiftest.Secret("right"), memiftest.Secret("wrong"))}
	case 2, 3:
		m = wire.AddRegion{Index: rarely(s, s.regions, 3), Size: rarely(s, uint64(1<<16), uint64(1)<<s.next(64))}
		s.regions++
		fds = []int{rarely(s, s.files.sealed, s.files.unsealed)}
	case 4, 5, 6:
		flags := uint16(s.next(2))
		m = wire.AddRing{
			Flags: flags, Index: rarely(s, s.rings[flags], 2), Region: uint16(rarely(s, 0, s.next(4))),
			Offset: uint32(rarely(s, s.next(2)<<15, s.next(256)<<s.next(32))), Log2RingSize: uint8(rarely(s, 1+s.next(8), s.next(20))),
		}
		s.rings[flags]++
		fds = []int{rarely(s, s.files.eventfd, s.files.pipe)}
	case 7, 8:
		m = wire.Connect{Interface: "fuzz"}
	case 9:
		m = rarely[wire.Message](s, wire.Ack{}, wire.Connected{})
	case 10:
		m = wire.Hello{MinVersion: wire.Version, MaxVersion: wire.Version, MaxS2MRing: uint16(s.next(3)), MaxM2SRing: uint16(s.next(3)), MaxLog2RingSize: uint8(s.next(20))}
	default:
		b = make([]byte, rarely(s, wire.Size, s.next(200)))
		s.data = s.data[copy(b, s.data):]
		return b, make([]int, s.next(4)) // of descriptor 0
	}
	encoded := wire.Encode(m)
	return encoded[:], rarely(s, fds, append(fds, fds...))
}

// say speaks the whole script into a socket, of which the other end is given,
// and hears the answers, until that end is closed: then over returns.
func (s *script) say(t testing.TB) (other *net.UnixConn, over func()) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var talk sync.WaitGroup
	talk.Go(func() {
		for n := 0; len(s.data) > 0 && n < 100; n++ {
			b, fds := s.message()
			if unix.Sendmsg(pair[0], b, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL) != nil {
				break
			}
		}
		_ = unix.Shutdown(pair[0], unix.SHUT_WR)
	})
	talk.Go(func() {
		b, oob := make([]byte, wire.Size), make([]byte, unix.CmsgSpace(4))
		for {
			n, oobn, _, _, err := unix.Recvmsg(pair[0], b, oob, unix.MSG_CMSG_CLOEXEC)
			for _, fd := range rights(oob[:max(oobn, 0)]) {
				unix.Close(fd)
			}
			if n <= 0 || err != nil {
				return
			}
		}
	})
	file := os.NewFile(uintptr(pair[1]), "fuzz")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn), func() {
		talk.Wait()
		unix.Close(pair[0])
	}
}

// lowest is the lowest descriptor that is free: it rises when one is lost.
func lowest(t testing.TB) int {
	t.Helper()
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return fd
}

// checkEnd: a handshake ends well, or for a reason that is the peer's.
func checkEnd(t testing.TB, err error) {
	t.Helper()
	var r Reason
	if err == nil || errors.As(err, &r) && r != ErrResources && r != ErrFault && r != ErrClosed {
		return
	}
	t.Errorf("ended because %v", err)
}

// exercise uses the queues of a connection as long as that goes.
func exercise(t testing.TB, c *Conn) {
	t.Helper()
	p := [][]byte{make([]byte, 1000), make([]byte, 100)}
	for _, rx := range c.rx {
		for _, tx := range c.tx {
			_, err := tx.Transmit(p)
			checkEnd(t, err)
			_, err = rx.Receive(p)
			checkEnd(t, err)
			_, err = Forward(tx, rx, 4)
			checkEnd(t, err)
		}
		_, err := rx.Arm()
		checkEnd(t, err)
	}
}

// connectingSlave is a script that ends in a connection: INIT, ADD_REGION, a
// ring each way, CONNECT.
func connectingSlave() []byte {
	return slices.Concat(make([]byte, 6), []byte{2, 0, 0, 0, 0, 0},
		[]byte{4, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0},
		[]byte{4, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0},
		[]byte{7, 0})
}

// connectingMaster is another: HELLO, an ACK for everything, CONNECTED.
func connectingMaster() []byte {
	return slices.Concat([]byte{10, 1, 1, 8, 0}, bytes.Repeat([]byte{9, 0, 0}, 6), []byte{9, 7, 0})
}

// The scripts do what they say, so that the fuzzer starts from there.
func TestScriptsConnect(t *testing.T) {
	all := openFiles(t)
	for name, handshake := range map[string]func(testing.TB, *script) error{"slave": masterHandshake, "master": slaveHandshake} {
		data := connectingSlave()
		if name == "master" {
			data = connectingMaster()
		}
		if err := handshake(t, &script{data: data, files: all}); err != nil {
			t.Errorf("the %s's: %v", name, err)
		}
	}
}

// FuzzMasterHandshake: whatever a slave sends, the master connects it or
// refuses it, and loses no descriptor.
func FuzzMasterHandshake(f *testing.F) {
	all := openFiles(f)
	f.Add(connectingSlave())
	f.Fuzz(func(t *testing.T, data []byte) {
		before := lowest(t)
		checkEnd(t, masterHandshake(t, &script{data: data, files: all}))
		if after := lowest(t); after > before {
			t.Errorf("descriptors are lost: %d was free, now %d", before, after)
		}
	})
}

func masterHandshake(t testing.TB, s *script) error {
	t.Helper()
	config, err := Config{Secret: "right", MaxMemory: 1 << 17}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := &Listener{
		config:     ListenConfig{QueuePairs: 2, RingSize: 256, HandshakeTimeout: time.Minute},
		guesses:    limiter{burst: 1000, interval: time.Second},
		interfaces: map[uint32]*Interface{0: newInterface(config, nil)},
	}
	control, over := s.say(t)
	defer over()
	defer control.Close()
	c, err := newConn(control)
	if err != nil {
		t.Fatal(err)
	}
	defer c.release()
	err = c.handshake(&master{listener: l, conn: c})
	if err == nil {
		exercise(t, c)
	}
	return err
}

// FuzzSlaveHandshake: the same for what a master sends.
func FuzzSlaveHandshake(f *testing.F) {
	all := openFiles(f)
	f.Add(connectingMaster())
	f.Fuzz(func(t *testing.T, data []byte) {
		before := lowest(t)
		checkEnd(t, slaveHandshake(t, &script{data: data, files: all}))
		if after := lowest(t); after > before {
			t.Errorf("descriptors are lost: %d was free, now %d", before, after)
		}
	})
}

func slaveHandshake(t testing.TB, s *script) error {
	t.Helper()
	config, err := Config{RingSize: 4, BufferSize: 64, QueuePairs: 2}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	control, over := s.say(t)
	defer over()
	defer control.Close()
	c, err := newConn(control)
	if err != nil {
		t.Fatal(err)
	}
	defer c.release()
	c.ifc, c.maxPacket = newInterface(config, nil), config.MaxPacket
	m := &slave{conn: c, config: config, file: -1}
	defer m.close()
	err = c.handshake(m)
	if err == nil {
		exercise(t, c)
	}
	return err
}
