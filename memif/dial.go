// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"fmt"
	"math"
	"net"
	"time"
)

// How long a slave waits before it tries again, the shorter after a connection
// that worked.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 100 * time.Millisecond
)

// Dial makes a slave's interface, which connects to the master's socket at
// address (a path, or an abstract name after an "@") as soon as there is one,
// and again whenever the connection has ended, until it is closed.
// It does not wait: see Connected. What went wrong is in Status.
func Dial(address string, c Config) (*Interface, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	whole := layout{log2: log2(c.RingSize), s2m: c.QueuePairs, m2s: c.QueuePairs, buffer: c.BufferSize}
	if size := whole.size(); size > min(math.MaxUint32, math.MaxInt) {
		return nil, fmt.Errorf("memif: rings and buffers of %d bytes are more than a region can have", size)
	}
	d := dialer{
		address: &net.UnixAddr{Net: "unixpacket", Name: address},
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	d.ifc = newInterface(c, d.close)
	go d.run()
	return d.ifc, nil
}

// dialer keeps a slave's interface connected.
type dialer struct {
	ifc     *Interface
	address *net.UnixAddr
	stop    chan struct{}
	done    chan struct{}
}

func (d *dialer) close() {
	close(d.stop)
	<-d.done
}

func (d *dialer) run() {
	defer close(d.done)
	retry := firstRetry
	for {
		wasConnected := d.attempt()
		if wasConnected {
			retry = firstRetry
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-d.stop:
			timer.Stop()
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// attempt connects once, and returns when the connection has ended.
func (d *dialer) attempt() (wasConnected bool) {
	control, err := net.DialUnix(d.address.Net, nil, d.address)
	if err != nil {
		d.ifc.missed(fmt.Errorf("memif: %w", err))
		return false
	}
	defer control.Close()
	c, err := newConn(control)
	if err == nil {
		err = d.ifc.claim(c)
	}
	if err != nil {
		d.ifc.missed(err)
		return false
	}
	s := &slave{conn: c, config: d.ifc.config, file: -1}
	c.allow(s.config.HandshakeTimeout)
	err = c.handshake(s)
	s.close()
	if err == nil {
		wasConnected = true
		d.ifc.connected(c)
		err = c.watch()
	} else {
		d.ifc.missed(err)
	}
	c.control.farewell(err)
	c.release()
	d.ifc.unclaim(c, err)
	close(c.done)
	return wasConnected
}
