// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"errors"
	"net"
	"time"

	"github.com/polynic/polynic/memif/internal/wire"
)

// acceptRetry is the pause after an accept that failed, mostly because this
// process has as many files open as it may.
const acceptRetry = 100 * time.Millisecond

// accept lets in slaves, as many at a time and as fast as the limits say.
func (l *Listener) accept() {
	for {
		select {
		case l.pending <- struct{}{}:
		case <-l.stop:
			return
		}
		if !l.pause(l.handshakes.wait()) {
			return
		}
		control, err := l.socket.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-l.pending
			l.pause(acceptRetry)
			continue
		}
		l.handshakes.take()
		l.serve.Go(func() { l.attend(control) })
	}
}

// pause waits, and reports false if the listener is closed.
func (l *Listener) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stop:
		return false
	}
}

// attend serves one control channel from its first message to its end.
func (l *Listener) attend(control *net.UnixConn) {
	defer control.Close()
	m := &master{listener: l}
	c, err := newConn(control)
	m.conn = c
	if err == nil {
		err = l.welcome(m)
	}
	<-l.pending
	if err == nil {
		c.ifc.connected(c)
		err = c.watch()
	} else {
		l.refuse(m, err)
	}
	c.control.farewell(err)
	c.release()
	if c.ifc != nil {
		c.ifc.unclaim(c, err)
	}
	l.forget(c)
	close(c.done)
}

// welcome takes a slave through the handshake.
func (l *Listener) welcome(m *master) error {
	c := m.conn
	if err := c.peer.check(c.control.UnixConn, l.config.PeerCheck); err != nil {
		return err
	}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	select {
	case <-l.stop: // before Close could see the connection
		return ErrClosed
	default:
	}
	c.allow(l.config.HandshakeTimeout)
	if err := c.send(answer{m.hello(), -1}); err != nil {
		return err
	}
	return c.handshake(m)
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Listener) refuse(m *master, err error) {
	l.mu.Lock()
	l.refused[reasonOf(err)]++
	l.mu.Unlock()
	if l.config.OnRefuse != nil {
		l.config.OnRefuse(Refusal{Peer: m.conn.peer, ID: m.id, Err: err})
	}
}

// find gives the interface that an INIT asks for, if its secret is right.
func (l *Listener) find(init wire.Init) (*Interface, error) {
	l.mu.Lock()
	i := l.interfaces[init.ID]
	l.mu.Unlock()
	if i == nil {
		return nil, ErrID
	}
	if i.config.Secret == "" {
		return i, nil
	}
	if l.guesses.wait() > 0 {
		return nil, ErrGuesses
	}
	if !i.config.Secret.is(init.Secret) {
		l.guesses.take()
		return nil, ErrSecret
	}
	return i, nil
}
