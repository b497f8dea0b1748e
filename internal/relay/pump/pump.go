// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package pump moves Ethernet frames between two ends of any kind, such as the
// queues of two taps.
//
// A few workers share one epoll instance in which every lane (one direction
// between two ends) waits, armed for one event. The worker that gets the event
// moves up to a burst of frames through a buffer of its own and arms the lane
// again, so that
//   - an idle lane costs neither CPU nor a buffer, and a busy one no wake-ups:
//     while a lane is served it is not armed;
//   - frames of a lane keep their order: one worker at a time serves it;
//   - busy lanes take turns.
//
// The Go runtime's own poller, with a goroutine per lane, was measured too: as
// fast with 64 KiB frames, up to a third slower with small ones, because its
// edge-triggered events wake a second thread for frames that the first is
// already reading.
package pump

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// HeaderLen is the length in bytes of the struct virtio_net_hdr that every
// frame in the pump begins with.
const HeaderLen = 10

// bufferLen holds the header and the longest frame there is: 64 KiB of packet
// (the kernel's GSO_LEGACY_MAX_SIZE, which bounds tap devices) behind Ethernet
// and VLAN headers.
const bufferLen = HeaderLen + 65536 + 128

// burst is how many frames of one lane are moved before others get their turn:
// enough for two system calls a turn not to count, few enough for 64 KiB frames
// not to hold others up for a millisecond.
const burst = 32

// End is one side of a lane pair. Read and Write never block; each is called
// by one worker at a time.
type End interface {
	// FD is polled for readability.
	FD() int
	// Read takes the next frame, header included; unix.EAGAIN means that there
	// is none now, any other error that the end is of no more use.
	Read(frame []byte) (int, error)
	// Write gives a frame, header included. One that is not taken is dropped.
	Write(frame []byte) error
}

// Pump is a set of workers and the lanes that they serve. Safe for concurrent
// use.
type Pump struct {
	epoll   int
	stop    int // eventfd that ends the workers
	workers errgroup.Group

	mu    sync.RWMutex
	lanes map[int32]*Lane // by the descriptor of the end that is read
}

// New starts the workers, at least 1; more than there are CPUs gain nothing.
func New(workers int) (*Pump, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(epoll))
	}
	p := &Pump{epoll: epoll, stop: stop, lanes: map[int32]*Lane{}}
	// Level-triggered and never read: once written it wakes every worker.
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(stop)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), unix.Close(stop), unix.Close(epoll))
	}
	for range workers {
		p.workers.Go(p.work)
	}
	return p, nil
}

// Close ends the workers; no lane is served once it returns.
func (p *Pump) Close() error {
	_, err := unix.Write(p.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	err = errors.Join(err, p.workers.Wait())
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.lanes) // a Remove that follows has nothing to do
	return errors.Join(err, unix.Close(p.stop), unix.Close(p.epoll))
}

// Join moves frames between two ends in both directions. failed is called at
// most once per direction, when its end cannot be read any more; the caller
// then removes the lanes. It is called by a worker and must not wait for
// anything. The first lane leads from a to b, the second from b to a.
func (p *Pump) Join(a, b End, failed func(error)) ([2]*Lane, error) {
	lanes := [2]*Lane{{from: a, to: b, failed: failed}, {from: b, to: a, failed: failed}}
	for _, l := range lanes {
		if err := p.add(l); err != nil {
			p.Remove(lanes[:]...)
			return lanes, err
		}
	}
	return lanes, nil
}

func (p *Pump) add(l *Lane) error {
	fd := l.from.FD()
	p.mu.Lock()
	p.lanes[int32(fd)] = l
	p.mu.Unlock()
	if err := p.arm(unix.EPOLL_CTL_ADD, fd); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (p *Pump) arm(op, fd int) error {
	return unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)})
}

// Remove takes lanes out. Once it returns no worker touches their ends, so
// they may be closed. A lane that is not there is no error.
func (p *Pump) Remove(lanes ...*Lane) {
	for _, l := range lanes {
		fd := l.from.FD()
		p.mu.Lock()
		if p.lanes[int32(fd)] == l {
			delete(p.lanes, int32(fd))
			_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it is not there
		}
		p.mu.Unlock()
		l.retire()
	}
}

func (p *Pump) work() error {
	buffer := make([]byte, bufferLen)
	// One event at a time: what this worker does not take, another does.
	events := make([]unix.EpollEvent, 1)
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		if n == 0 {
			continue
		}
		if int(events[0].Fd) == p.stop {
			return nil
		}
		p.mu.RLock()
		l := p.lanes[events[0].Fd]
		p.mu.RUnlock()
		if l != nil {
			l.serve(buffer, p)
		}
	}
}
