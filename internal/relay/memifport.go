// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/relay/nswatch"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

const (
	// busyPoll is how long a ring is looked at before its goroutine sleeps, as
	// long as that has been of use: less than sleeping and waking up take.
	busyPoll = 20 * time.Microsecond
	// headers is what a packet of MTU bytes is longer than that: Ethernet with two
	// VLAN tags.
	headers = 14 + 2*4
)

// memifPort is a memif, and the twin or the other memif that packets are moved
// to and from.
type memifPort struct {
	// The inodes are those of the namespaces that were found.
	relayapi.MemifPort
	parts  parts
	failed func(error)

	socket *socket
	ifc    *memif.Interface
	pod    []*nswatch.Watch

	twin     *tap.Device
	watches  []*nswatch.Watch // on the twin's namespace
	pump     *rings.Twin
	to       *memif.Interface // that of the other memif
	moving   sync.WaitGroup
	stopMove context.CancelFunc
}

func (m *memifPort) open(device opener, failed func(error)) error {
	m.failed = failed
	err := m.listen()
	if err == nil {
		err = m.plug(device)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("port %s: %w", m.ID, err), m.discard())
	}
	return nil
}

// listen makes the memif known at its socket.
func (m *memifPort) listen() error {
	k, i, err := m.parts.sockets.use(m.ID, m.Socket, memif.Config{
		ID: m.Memif, Mode: m.mode(), Secret: memif.Secret(m.Secret), Name: cmp.Or(m.Twin.Name, m.ID),
		MaxPacket: m.maxPacket(), MaxMemory: m.maxMemory(), AcceptUnsealed: m.AcceptUnsealed, BusyPoll: busyPoll,
	})
	if err != nil {
		return err
	}
	m.socket, m.ifc, m.Socket = k, i, k.MemifSocket
	pod := relayapi.Link{Netns: m.Socket.Pod.Path, Inode: m.Socket.Pod.Inode, Name: fmt.Sprint("memif ", m.Memif)}
	m.pod, err = m.parts.watch(pod, m.failed)
	return err
}

// maxMemory bounds the memory that an application shares, in bytes. Pages that the
// relay is the first to touch count as the relay's, and the application may keep
// them. Whoever shares all its buffers without a copy, unsealed, needs more.
func (m *memifPort) maxMemory() uint64 {
	if m.AcceptUnsealed {
		return 0 // memif's default
	}
	return 128 << 20
}

func (m *memifPort) mode() memif.Mode {
	if m.Mode == relayapi.MemifIP {
		return memif.IP
	}
	return memif.Ethernet
}

func (m *memifPort) maxPacket() int {
	if m.Mode == relayapi.MemifIP {
		return m.MTU
	}
	return m.MTU + headers
}

// plug opens the twin, if there is to be one, and moves packets.
func (m *memifPort) plug(device opener) error {
	if m.Twin.Name == "" {
		return nil
	}
	twin, err := device(m.Twin, m.Queues)
	if err != nil {
		return err
	}
	m.twin, m.Twin.Inode = twin, twin.Inode()
	if err := twin.Persist(); err != nil {
		return err
	}
	if m.watches, err = m.parts.watch(m.Twin, m.failed); err != nil {
		return err
	}
	pump := rings.NewTwin(rings.TwinConfig{
		Interface: m.ifc, Queues: twin.Queues(), MaxPacket: m.maxPacket(), Mode: m.mode(), Near: m.Twin.MAC, Far: m.MAC,
		LinkLocal: m.LinkLocal,
	})
	m.pump = pump
	m.move(func(ctx context.Context) {
		if err := pump.Run(ctx); err != nil {
			m.failed(fmt.Errorf("%s: %w", m.Twin, err))
		}
	})
	return nil
}

// move runs what moves packets until rest.
func (m *memifPort) move(packets func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	m.stopMove = cancel
	m.moving.Go(func() { packets(ctx) })
}

// rest ends what move began, and waits for it.
func (m *memifPort) rest() {
	if m.stopMove != nil {
		m.stopMove()
	}
	m.moving.Wait()
	m.stopMove, m.pump, m.to = nil, nil, nil
}

// cross moves packets to the other memif, if the two name each other, and stops
// doing so if they do not, or there is none.
func (m *memifPort) cross(other *memifPort) {
	var to *memif.Interface
	if other != nil && m.Peer == other.ID && other.Peer == m.ID && m.Mode == other.Mode {
		to = other.ifc
	}
	if m.to == to {
		return
	}
	m.rest()
	if to != nil {
		m.to = to
		m.move(func(ctx context.Context) { rings.Forward(ctx, m.ifc, to) })
	}
}

// unplug stops moving packets, and lets go of the twin as end does.
func (m *memifPort) unplug(end func(*tap.Device) error) error {
	m.rest()
	for _, w := range m.watches {
		m.parts.namespaces.Remove(w)
	}
	err := each(m.twin, end)
	m.watches, m.twin = nil, nil
	return err
}

// replug gives the memif another twin or peer; it stays connected. After an
// error the port is to be closed.
func (m *memifPort) replug(want relayapi.MemifPort, device opener) error {
	if err := m.unplug((*tap.Device).Close); err != nil {
		return err
	}
	m.Twin, m.Queues, m.LinkLocal, m.MAC, m.Peer = want.Twin, want.Queues, want.LinkLocal, want.MAC, want.Peer
	if err := m.plug(device); err != nil {
		return fmt.Errorf("port %s: %w", m.ID, err)
	}
	return nil
}

func (m *memifPort) close() error   { return m.end((*tap.Device).Close) }
func (m *memifPort) discard() error { return m.end((*tap.Device).Discard) }

func (m *memifPort) end(twin func(*tap.Device) error) error {
	err := m.unplug(twin)
	for _, w := range m.pod {
		m.parts.namespaces.Remove(w)
	}
	if m.ifc != nil {
		err = errors.Join(err, m.parts.sockets.leave(m.socket, m.ifc, m.Memif))
	}
	m.ifc, m.pod = nil, nil
	return err
}

func (m *memifPort) check() error {
	return errors.Join(m.socket.check(), each(m.twin, (*tap.Device).Check))
}

// is reports whether the port is as wanted, whatever inodes that are zero stand
// for.
func (m *memifPort) is(want relayapi.MemifPort) bool {
	want.Twin.Inode = cmp.Or(want.Twin.Inode, m.Twin.Inode)
	want.Socket.Pod.Inode = cmp.Or(want.Socket.Pod.Inode, m.Socket.Pod.Inode)
	return m.MemifPort == want
}

// sameRings reports whether nothing changes for the application.
func (m *memifPort) sameRings(want relayapi.MemifPort) bool {
	want.Twin, want.Queues, want.LinkLocal, want.MAC, want.Peer = m.Twin, m.Queues, m.LinkLocal, m.MAC, m.Peer
	return m.is(want)
}

func (m *memifPort) record() record { return record{Version: recordVersion, Memif: &m.MemifPort} }

func (m *memifPort) state(reason error) relayapi.MemifState {
	if reason == nil {
		reason = m.socket.check()
	}
	s := relayapi.MemifState{MemifPort: m.MemifPort, Attached: reason == nil}
	s.Secret = ""
	if reason != nil {
		s.Reason = reason.Error()
		return s
	}
	i := m.ifc.Status()
	if i.Connected {
		s.Application = &relayapi.MemifApplication{
			PID: i.Peer.PID, UID: i.Peer.UID, GID: i.Peer.GID, Name: i.Peer.Application, Interface: i.Peer.Interface,
			RxQueues: i.RxQueues, TxQueues: i.TxQueues, RingSize: i.RingSize,
		}
	}
	s.RxPackets, s.RxBytes, s.RxErrors = i.Rx.Packets, i.Rx.Bytes, i.Rx.TooLong+i.Rx.Empty
	s.TxPackets, s.TxBytes, s.TxErrors, s.TxFull = i.Tx.Packets, i.Tx.Bytes, i.Tx.TooLong+i.Tx.Empty, i.Tx.Full
	s.Connects, s.Ends = i.Connects, texts(i.Ends)
	if i.LastEnd != nil {
		s.LastEnd = i.LastEnd.Error()
	}
	refused := m.socket.listener.Refused()
	s.LastRefused = m.socket.addTo(refused)
	s.Refused = texts(refused)
	if m.pump != nil {
		p := m.pump.Stats()
		s.TwinRx, s.TwinTx, s.RxDrops, s.TxDrops = p.FramesOut, p.FramesIn, p.DropsIn, p.DropsOut
		s.RxDenied = p.DeniedIn
	}
	return s
}

// texts names reasons by their words.
func texts(counts map[memif.Reason]uint64) map[string]uint64 {
	named := make(map[string]uint64, len(counts))
	for reason, n := range counts {
		named[reason.Error()] = n
	}
	return named
}
