// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memiftest

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Master is a peer that slaves connect to, and that has mapped their memory.
type Master struct {
	*Peer
	Init   Init // what the slave said
	Region []byte
	S2M    []Ring
	M2S    []Ring
}

// WellBehaved is the HELLO of a master with nothing to hide.
func WellBehaved() Hello {
	return Hello{
		Name: "memiftest", MinVersion: Version, MaxVersion: Version,
		MaxRegion: 255, MaxM2SRing: 255, MaxS2MRing: 255, MaxLog2RingSize: 14,
	}
}

// AcceptMaster waits for a slave and takes it through the handshake up to, but
// without, CONNECTED.
func AcceptMaster(l *net.UnixListener, hello Hello) (*Master, error) {
	peer, err := Accept(l)
	if err != nil {
		return nil, err
	}
	m := &Master{Peer: peer}
	if err := m.handshake(hello); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Master) handshake(hello Hello) error {
	if err := m.Send(hello); err != nil {
		return err
	}
	for {
		message, fds, err := m.Receive()
		if err != nil {
			return err
		}
		switch r := message.(type) {
		case Connect:
			return nil
		case Disconnect:
			return ErrRefused{r}
		case Init:
			m.Init = r
		case AddRegion:
			m.Region, err = unix.Mmap(fds[0], 0, int(r.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			unix.Close(fds[0])
		case AddRing:
			err = m.addRing(r, fds[0])
		default:
			err = fmt.Errorf("got %#v", message)
		}
		if err == nil {
			err = m.Send(Ack{})
		}
		if err != nil {
			return err
		}
	}
}

func (m *Master) addRing(a AddRing, eventfd int) error {
	if m.Region == nil {
		return io.ErrUnexpectedEOF
	}
	r, err := newRing(m.Region, a.Offset, a.Log2RingSize)
	if err != nil {
		return err
	}
	r.Eventfd = eventfd
	if a.Flags&FlagS2M != 0 {
		m.S2M = append(m.S2M, r)
	} else {
		m.M2S = append(m.M2S, r)
	}
	return nil
}

// Close ends the channel without a word and frees the memory.
func (m *Master) Close() error {
	for _, r := range append(m.S2M, m.M2S...) {
		unix.Close(r.Eventfd)
	}
	var err error
	if m.Region != nil {
		err = unix.Munmap(m.Region)
	}
	return errors.Join(err, m.Peer.Close())
}
