// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/memiftest"
)

// events records the callbacks of an interface.
type events struct {
	connects    chan *memif.Conn
	disconnects chan error
}

func record(c *memif.Config) events {
	e := events{make(chan *memif.Conn, 100), make(chan error, 100)}
	c.OnConnect = func(c *memif.Conn) { e.connects <- c }
	c.OnDisconnect = func(_ *memif.Conn, err error) { e.disconnects <- err }
	return e
}

func TestSlaveComesAgain(t *testing.T) {
	nothingLeft(t)
	config := memif.Config{}
	e := record(&config)
	l := listen(t, memif.ListenConfig{})
	master := add(t, l, config)
	for range 10 {
		slave := dial(t, l, memif.Config{})
		c := next(t, e.connects)
		both(t, master, slave, []int{10, 100, 1000})
		slave.Close()
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrDisconnected) {
			t.Errorf("disconnected because %v", err)
		}
		<-c.Done()
		if n, err := c.RxQueues()[0].Receive(packets(1, 2000)); n != 0 || !errors.Is(err, memif.ErrDisconnected) {
			t.Errorf("received %d, %v of a connection that has ended", n, err)
		}
		if n, err := c.TxQueues()[0].Transmit(packets(1, 100)); n != 0 || !errors.Is(err, memif.ErrDisconnected) {
			t.Errorf("sent %d, %v on a connection that has ended", n, err)
		}
	}
	if s := master.Status(); s.Connects != 10 || s.Rx.Packets != 30 || s.Tx.Packets != 30 || s.Connected {
		t.Errorf("status %+v", s)
	}
}

// The slave dials again until there is a master, whichever comes first, and
// when the master is another than before.
func TestMasterComesAgain(t *testing.T) {
	nothingLeft(t)
	address := socket(t)
	config := memif.Config{}
	e := record(&config)
	slave, err := memif.Dial(address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	eventually(t, func() bool { return errors.Is(slave.Status().LastEnd, os.ErrNotExist) },
		func() string { return "the slave does not say that there is no socket" })
	for range 5 {
		l := listen(t, memif.ListenConfig{Address: address})
		master := add(t, l, memif.Config{})
		next(t, e.connects)
		both(t, master, slave, []int{10, 100, 1000})
		l.Close()
		if err := next(t, e.disconnects); !errors.Is(err, memif.ErrDisconnected) {
			t.Errorf("disconnected because %v", err)
		}
	}
}

// A socket file that a killed process left is replaced, one that is in use and
// other files are not.
func TestAbandonedSocket(t *testing.T) {
	nothingLeft(t)
	address := socket(t)
	left, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: address})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if _, err := memif.Listen(memif.ListenConfig{Address: address}); err == nil {
		t.Fatal("listening on a socket that is in use")
	}
	left.Close()
	l := listen(t, memif.ListenConfig{Address: address})
	both(t, add(t, l, memif.Config{}), dial(t, l, memif.Config{}), []int{10})
	l.Close()
	if _, err := os.Lstat(address); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close the socket is there: %v", err)
	}
	if err := os.WriteFile(address, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := memif.Listen(memif.ListenConfig{Address: address}); err == nil {
		t.Fatal("listening in place of a file")
	}
	if b, err := os.ReadFile(address); string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

// Closing in the middle of everything leaves nothing behind.
func TestCloseUnderTraffic(t *testing.T) {
	nothingLeft(t)
	for range 5 {
		master, slave := pair(t, memif.Config{QueuePairs: 2, RingSize: 64})
		ended := make(chan error, 4)
		for _, c := range []*memif.Conn{connected(t, master), connected(t, slave)} {
			go func() { ended <- keepSending(c.TxQueues()[0]) }()
			go func() { ended <- keepReceiving(c.RxQueues()[0]) }()
		}
		c := connected(t, master)
		eventually(t, func() bool { return c.RxQueues()[0].Counters().Packets > 100 }, func() string { return "no traffic" })
		master.Close()
		for range cap(ended) {
			if err := next(t, ended); !errors.Is(err, memif.ErrClosed) && !errors.Is(err, memif.ErrDisconnected) {
				t.Errorf("traffic ended by %v", err)
			}
		}
	}
}

func keepSending(q *memif.TxQueue) error {
	p := packets(32, 500)
	for {
		if _, err := q.Transmit(p); err != nil {
			return err
		}
	}
}

func keepReceiving(q *memif.RxQueue) error {
	p := packets(32, 2048)
	for {
		if _, err := q.Receive(p); err != nil {
			return err
		}
	}
}

// A peer that says why it goes is heard, also if it did not read everything that
// it was sent.
func TestLastWordsAreHeard(t *testing.T) {
	nothingLeft(t)
	listening := memif.ListenConfig{}
	told := refusals(&listening)
	l := listen(t, listening)
	add(t, l, memif.Config{})
	for range 100 {
		p, err := memiftest.Dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		// HELLO is not read.
		if err := errors.Join(p.Send(memiftest.Disconnect{Reason: "not today"}), p.Close()); err != nil {
			t.Fatal(err)
		}
		if r := next(t, told); !errors.Is(r.Err, memif.ErrDisconnected) || !strings.Contains(r.Err.Error(), "not today") {
			t.Fatalf("refused because %v", r.Err)
		}
	}
}
