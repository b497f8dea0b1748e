// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// attack is what a hostile slave does before it is connected.
type attack struct {
	name  string
	slave memiftest.SlaveConfig
	do    func(*memiftest.Slave) error
	want  memif.Reason
}

// introduced are attacks by one whose region and rings were accepted.
func introduced(do func(*memiftest.Slave) error) func(*memiftest.Slave) error {
	return func(s *memiftest.Slave) error { return errors.Join(s.Introduce(), do(s)) }
}

// started are attacks by one whose INIT was accepted.
func started(do func(*memiftest.Slave) error) func(*memiftest.Slave) error {
	return func(s *memiftest.Slave) error {
		_, err := memiftest.Expect[memiftest.Hello](s.Peer)
		return errors.Join(err, s.Ask(memiftest.Init{Version: memiftest.Version}), do(s))
	}
}

// says sends one message.
func says(m memiftest.Message) func(*memiftest.Slave) error {
	return func(s *memiftest.Slave) error { return s.Send(m) }
}

// region announces a region with a file of another kind.
func region(open func() (int, error), copies int) func(*memiftest.Slave) error {
	return started(func(s *memiftest.Slave) error {
		fd, err := open()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		fds := make([]int, copies)
		for i := range fds {
			fds[i] = fd
		}
		return s.Send(memiftest.AddRegion{Size: 4096}, fds...)
	})
}

func memfd(size int64, seals int) func() (int, error) {
	return func() (int, error) {
		fd, err := unix.MemfdCreate("hostile", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			return -1, err
		}
		err = unix.Ftruncate(fd, size)
		_, sealing := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		return fd, errors.Join(err, sealing)
	}
}

func file(path string, flags int) func() (int, error) {
	return func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0o600) }
}

// ring announces the region and then one ring, changed.
func ring(change func(*memiftest.AddRing)) func(*memiftest.Slave) error {
	return started(func(s *memiftest.Slave) error {
		rings, files := s.AddRings()
		change(&rings[0])
		return errors.Join(s.Ask(s.AddRegion(), s.File), s.Send(rings[0], files[0]))
	})
}

// lateRing is a ring whose fault is seen only when it is looked for.
func lateRing(change func(*memiftest.AddRing)) func(*memiftest.Slave) error {
	return started(func(s *memiftest.Slave) error {
		rings, files := s.AddRings()
		change(&rings[0])
		return errors.Join(s.Ask(s.AddRegion(), s.File),
			s.Ask(rings[0], files[0]), s.Ask(rings[1], files[1]), s.Send(memiftest.Connect{}))
	})
}

func beforeInit() []attack {
	eventfd := func(s *memiftest.Slave) int { return s.S2M[0].Eventfd }
	return []attack{
		{"ACK first", memiftest.SlaveConfig{}, says(memiftest.Ack{}), memif.ErrOrder},
		{"HELLO first", memiftest.SlaveConfig{}, says(memiftest.Hello{}), memif.ErrOrder},
		{"CONNECT first", memiftest.SlaveConfig{}, says(memiftest.Connect{}), memif.ErrOrder},
		{"CONNECTED first", memiftest.SlaveConfig{}, says(memiftest.Connected{}), memif.ErrOrder},
		{"DISCONNECT first", memiftest.SlaveConfig{}, says(memiftest.Disconnect{Reason: "\xff\x00"}), memif.ErrDisconnected},
		{"region first", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.Send(s.AddRegion(), s.File) }, memif.ErrOrder},
		{"ring first", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error {
			return s.Send(memiftest.AddRing{Log2RingSize: 3}, eventfd(s))
		}, memif.ErrOrder},
		{"one byte", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.SendBytes(make([]byte, 1)) }, memif.ErrMessage},
		{"127 bytes", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.SendBytes(make([]byte, 127)) }, memif.ErrMessage},
		{"129 bytes", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.SendBytes(make([]byte, 129)) }, memif.ErrMessage},
		{"64 KiB", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.SendBytes(make([]byte, 65536), s.File) }, memif.ErrMessage},
		{"type 0", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.SendBytes(make([]byte, 128)) }, memif.ErrMessage},
		{"INIT with a file", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error {
			return s.Send(memiftest.Init{Version: memiftest.Version}, s.File)
		}, memif.ErrMessage},
		{"version 1.0", memiftest.SlaveConfig{}, says(memiftest.Init{Version: 1 << 8}), memif.ErrVersion},
		{"punt/inject", memiftest.SlaveConfig{}, says(memiftest.Init{Version: memiftest.Version, Mode: 2}), memif.ErrMode},
		{"INIT twice", memiftest.SlaveConfig{}, started(says(memiftest.Init{Version: memiftest.Version})), memif.ErrOrder},
		{"gone at once", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error { return s.Peer.Close() }, memif.ErrPeerGone},
	}
}

func badRegions() []attack {
	all := []attack{
		{"region 1 first", memiftest.SlaveConfig{}, started(func(s *memiftest.Slave) error {
			return s.Send(memiftest.AddRegion{Index: 1, Size: 4096}, s.File)
		}), memif.ErrRegion},
		{"region 0 twice", memiftest.SlaveConfig{}, started(func(s *memiftest.Slave) error {
			return errors.Join(s.Ask(s.AddRegion(), s.File), s.Send(s.AddRegion(), s.File))
		}), memif.ErrRegion},
		{"65 regions", memiftest.SlaveConfig{}, started(func(s *memiftest.Slave) error {
			for i := range uint16(64) {
				if err := s.Ask(memiftest.AddRegion{Index: i, Size: 4096}, s.File); err != nil {
					return err
				}
			}
			return s.Send(memiftest.AddRegion{Index: 64, Size: 4096}, s.File)
		}), memif.ErrRegion},
		{"region after CONNECT", memiftest.SlaveConfig{}, func(s *memiftest.Slave) error {
			return errors.Join(s.Handshake(), s.Send(memiftest.AddRegion{Index: 1, Size: 4096}, s.File))
		}, 0},
	}
	for name, size := range map[string]uint64{
		"nothing": 0, "a byte too much": 1, "2^63": 1 << 63, "2^64-1": 1<<64 - 1, "a GiB": 1 << 30,
	} {
		all = append(all, attack{"region of " + name, memiftest.SlaveConfig{}, started(func(s *memiftest.Slave) error {
			if size == 1 {
				size = uint64(len(s.Region)) + 1
			}
			return s.Send(memiftest.AddRegion{Size: size}, s.File)
		}), memif.ErrRegion})
	}
	pipe := func() (int, error) {
		var p [2]int
		err := unix.Pipe2(p[:], unix.O_CLOEXEC)
		unix.Close(p[1])
		return p[0], err
	}
	readOnly := func() (int, error) {
		fd, err := memfd(4096, memiftest.SealShrink)()
		_, sealing := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
		return fd, errors.Join(err, sealing)
	}
	for _, f := range []struct {
		name   string
		open   func() (int, error)
		copies int
		want   memif.Reason
	}{
		{"no file", file("/", unix.O_RDONLY), 0, memif.ErrMessage},
		{"two files", memfd(4096, memiftest.SealShrink), 2, memif.ErrMessage},
		{"253 files", memfd(4096, memiftest.SealShrink), 253, memif.ErrMessage},
		{"a pipe", pipe, 1, memif.ErrRegion},
		{"a directory", file("/", unix.O_RDONLY), 1, memif.ErrRegion},
		{"a device", file("/dev/zero", unix.O_RDWR), 1, memif.ErrRegion},
		{"a file", file(os.Args[0], unix.O_RDONLY), 1, memif.ErrRegion},
		{"a path alone", file(os.Args[0], unix.O_PATH), 1, memif.ErrRegion},
		{"no seals", memfd(4096, memiftest.NoSeal), 1, memif.ErrRegion},
		{"another seal", memfd(4096, unix.F_SEAL_GROW), 1, memif.ErrRegion},
		{"no writing", readOnly, 1, memif.ErrRegion},
		{"a short file", memfd(4095, memiftest.SealShrink), 1, memif.ErrRegion},
	} {
		all = append(all, attack{"region with " + f.name, memiftest.SlaveConfig{}, region(f.open, f.copies), f.want})
	}
	return all
}

func badRings() []attack {
	badFile := func(open func() (int, error)) func(*memiftest.Slave) error {
		return started(func(s *memiftest.Slave) error {
			rings, _ := s.AddRings()
			fd, err := open()
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return errors.Join(s.Ask(s.AddRegion(), s.File), s.Send(rings[0], fd))
		})
	}
	epoll := func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }
	all := []attack{
		{"ring 1 first", memiftest.SlaveConfig{}, ring(func(r *memiftest.AddRing) { r.Index = 1 }), memif.ErrRing},
		{"ring of 2^15", memiftest.SlaveConfig{}, ring(func(r *memiftest.AddRing) { r.Log2RingSize = 15 }), memif.ErrRing},
		{"ring of 2^255", memiftest.SlaveConfig{}, ring(func(r *memiftest.AddRing) { r.Log2RingSize = 255 }), memif.ErrRing},
		{"private header", memiftest.SlaveConfig{}, ring(func(r *memiftest.AddRing) { r.PrivateHdrSize = 1 }), memif.ErrRing},
		{"ring with a memfd", memiftest.SlaveConfig{}, badFile(memfd(4096, 0)), memif.ErrInterrupt},
		{"ring with an epoll", memiftest.SlaveConfig{}, badFile(epoll), memif.ErrInterrupt},
		{"ring of 2^0", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Log2RingSize = 0 }), memif.ErrRing},
		{"ring behind the region", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Offset = 1<<32 - 16 }), memif.ErrRing},
		{"ring across the region's end", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Log2RingSize = 14 }), memif.ErrRing},
		{"ring between descriptors", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Offset = 8 }), memif.ErrRing},
		{"ring in no region", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Region = 1 }), memif.ErrRing},
		{"ring in region 65535", memiftest.SlaveConfig{}, lateRing(func(r *memiftest.AddRing) { r.Region = 65535 }), memif.ErrRing},
		{"17 pairs", memiftest.SlaveConfig{Pairs: 17, Log2: 1}, (*memiftest.Slave).Introduce, memif.ErrRing},
		{"no cookie", memiftest.SlaveConfig{}, introduced(func(s *memiftest.Slave) error {
			*s.M2S[0].Cookie() = 0
			return s.Send(memiftest.Connect{})
		}), memif.ErrRing},
		{"no rings", memiftest.SlaveConfig{}, started(says(memiftest.Connect{})), memif.ErrRing},
		{"rings one way", memiftest.SlaveConfig{}, started(func(s *memiftest.Slave) error {
			rings, files := s.AddRings()
			return errors.Join(s.Ask(s.AddRegion(), s.File), s.Ask(rings[0], files[0]), s.Send(memiftest.Connect{}))
		}), memif.ErrRing},
		{"silence", memiftest.SlaveConfig{}, func(*memiftest.Slave) error { return nil }, memif.ErrTimeout},
		{"silence after INIT", memiftest.SlaveConfig{}, started(func(*memiftest.Slave) error { return nil }), memif.ErrTimeout},
	}
	return all
}

// Whatever a slave does before it is connected, it is refused for the right
// reason and told so, nothing of it is left, and the next one is served.
func TestHostileHandshakes(t *testing.T) {
	attacks := append(append(beforeInit(), badRegions()...), badRings()...)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			nothingLeft(t)
			// Who is to be refused for what it says may take its time to say it.
			listening := memif.ListenConfig{HandshakeTimeout: patience}
			if a.want == memif.ErrTimeout {
				listening.HandshakeTimeout = 300 * time.Millisecond
			}
			told := refusals(&listening)
			l := listen(t, listening)
			config := memif.Config{}
			e := record(&config)
			master := add(t, l, config)
			hostile, err := memiftest.NewSlave(l.Addr().String(), a.slave)
			if err != nil {
				t.Fatal(err)
			}
			var refused memiftest.ErrRefused
			if err := a.do(hostile); err != nil && !errors.As(err, &refused) {
				t.Fatalf("the attack itself: %v", err)
			}
			if a.want == 0 { // after CONNECT
				if err := next(t, e.disconnects); !errors.Is(err, memif.ErrOrder) {
					t.Errorf("ended because %v", err)
				}
			} else if r := next(t, told); !errors.Is(r.Err, a.want) || r.Peer.PID != os.Getpid() {
				t.Errorf("refused because %v, want %v; peer %+v", r.Err, a.want, r.Peer)
			}
			if a.want > memif.ErrDisconnected && refused.Code == 0 { // not heard yet
				d, err := hostile.End()
				if memif.Reason(d.Code) != a.want || err != nil {
					t.Errorf("the slave was told %d %q, %v", d.Code, d.Reason, err)
				}
			}
			hostile.Close()
			both(t, master, dial(t, l, memif.Config{}), []int{100})
		})
	}
}
