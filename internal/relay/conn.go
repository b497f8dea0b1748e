// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

const (
	// backlog is how many messages may wait for a client to read them.
	backlog = 1024
	// writeLimit is how long a client may take to read one message.
	writeLimit = 10 * time.Second
)

// conn is one client's connection: one goroutine reads and answers, another
// writes.
type conn struct {
	stream net.Conn
	out    chan relayapi.Reply
	closed chan struct{}
	once   sync.Once
}

func newConn(stream net.Conn) *conn {
	return &conn{stream: stream, out: make(chan relayapi.Reply, backlog), closed: make(chan struct{})}
}

// serve answers requests in their order until the connection ends; it returns
// why that is.
func (c *conn) serve(answer func(relayapi.Request) relayapi.Reply) error {
	var writing sync.WaitGroup
	writing.Go(c.write)
	defer writing.Wait()
	defer c.close()
	requests := relayapi.NewReader(c.stream)
	for {
		q, err := requests.Request()
		if err != nil {
			return err
		}
		select {
		case c.out <- answer(q):
		case <-c.closed:
		}
	}
}

// push queues a message that nobody waits for.
func (c *conn) push(a relayapi.Reply) {
	select {
	case c.out <- a:
	default:
		c.close()
	}
}

func (c *conn) write() {
	defer c.close()
	for {
		select {
		case <-c.closed:
			return
		case a := <-c.out:
			if err := c.send(a); err != nil {
				return
			}
		}
	}
}

func (c *conn) send(a relayapi.Reply) error {
	line, err := relayapi.Encode(a)
	if err != nil { // too long
		line, err = relayapi.Encode(relayapi.Reply{Version: a.Version, ID: a.ID, Error: relayapi.NewError(err)})
	}
	if err != nil {
		return err
	}
	if err := c.stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err = c.stream.Write(line)
	return err
}

func (c *conn) close() {
	c.once.Do(func() {
		close(c.closed)
		_ = c.stream.Close()
	})
}
