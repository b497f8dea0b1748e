// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/polynic/polynic/memif"
)

// A master and a slave, here in one process, send each other a packet.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "memif")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	listener, err := memif.Listen(memif.ListenConfig{Address: filepath.Join(dir, "memif.sock")})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close() // and its interfaces
	master, err := listener.Add(memif.Config{ID: 0, Secret: "tell nobody"})
	if err != nil {
		log.Fatal(err)
	}
	slave, err := memif.Dial(listener.Addr().String(), memif.Config{ID: 0, Secret: "tell nobody"})
	if err != nil {
		log.Fatal(err)
	}
	defer slave.Close()

	packet := make([]byte, 2048)
	if _, err := slave.Write(ctx, []byte("hello, master")); err != nil { // waits until connected
		log.Fatal(err)
	}
	n, err := master.Read(ctx, packet)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", packet[:n])
	if _, err := master.Write(ctx, []byte("hello, slave")); err != nil {
		log.Fatal(err)
	}
	if n, err = slave.Read(ctx, packet); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", packet[:n])

	// Output:
	// hello, master
	// hello, slave
}

// An application sends back what it gets, in bursts, as long as it runs: also
// when the switch at the other end is restarted.
func ExampleDial() {
	echo := func(ctx context.Context, port *memif.Interface) error {
		packets := make([][]byte, 64)
		for i := range packets {
			packets[i] = make([]byte, 9216)
		}
		for {
			n, err := port.ReadBatch(ctx, packets)
			if err != nil {
				return err
			}
			if _, err := port.WriteBatch(ctx, packets[:n]); err != nil {
				return err
			}
		}
	}

	// In a pod, these two are os.Getenv of MEMIF_SOCKET and MEMIF_SECRET.
	const socket, secret = "@memif-example", "tell nobody"
	port, err := memif.Dial(socket, memif.Config{Secret: secret, Application: "echo 1.0"})
	if err != nil {
		log.Fatal(err)
	}
	defer port.Close()
	ctx, cancel := context.WithCancel(context.Background())
	echoed := make(chan error)
	go func() { echoed <- echo(ctx, port) }()

	// The switch comes later.
	listener, err := memif.Listen(memif.ListenConfig{Address: socket})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	master, err := listener.Add(memif.Config{Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := master.Write(ctx, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	packet := make([]byte, 2048)
	n, err := master.Read(ctx, packet)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s from %s\n", packet[:n], master.Status().Peer.Application)
	cancel()
	fmt.Println(<-echoed)
	// Output:
	// hello from echo 1.0
	// context canceled
}

// One goroutine per queue takes what comes, connection after connection.
func ExampleInterface_Connected() {
	drain := func(ctx context.Context, q *memif.RxQueue) {
		packets := make([][]byte, 256)
		for i := range packets {
			packets[i] = make([]byte, 2048)
		}
		for {
			n, err := q.Receive(packets)
			if err == nil && n == 0 {
				err = q.Wait(ctx) // or poll: go on at once
			}
			if err != nil {
				return // the connection has ended
			}
		}
	}
	serve := func(ctx context.Context, port *memif.Interface, begun chan<- *memif.Conn) error {
		for {
			conn, err := port.Connected(ctx)
			if err != nil {
				return err // the context's, or memif.ErrClosed
			}
			fmt.Println(len(conn.RxQueues()), "queues from", conn.Peer().Application)
			begun <- conn
			var queues sync.WaitGroup
			for _, q := range conn.RxQueues() {
				queues.Go(func() { drain(ctx, q) })
			}
			<-conn.Done()
			queues.Wait()
			fmt.Println("disconnected:", conn.Err())
		}
	}

	listener, err := memif.Listen(memif.ListenConfig{Address: "@memif-example"})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	port, err := listener.Add(memif.Config{})
	if err != nil {
		log.Fatal(err)
	}
	begun, served := make(chan *memif.Conn), make(chan error)
	go func() { served <- serve(context.Background(), port, begun) }()

	slave, err := memif.Dial(listener.Addr().String(), memif.Config{QueuePairs: 4})
	if err != nil {
		log.Fatal(err)
	}
	conn := <-begun
	slave.Close()
	<-conn.Done()
	port.Close()
	fmt.Println(errors.Is(<-served, memif.ErrClosed))
	// Output:
	// 4 queues from go-memif
	// disconnected: peer disconnected: closed (code 1)
	// true
}

// A switch with two ports moves packets between them: what arrives on one side
// is in the memory of the peer on the other side after one copy.
func ExampleForward() {
	ctx := context.Background()
	listener, err := memif.Listen(memif.ListenConfig{Address: "@memif-example"})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	var ports, apps [2]*memif.Interface
	for id := range ports {
		c := memif.Config{ID: uint32(id)}
		if ports[id], err = listener.Add(c); err != nil {
			log.Fatal(err)
		}
		if apps[id], err = memif.Dial(listener.Addr().String(), c); err != nil {
			log.Fatal(err)
		}
		defer apps[id].Close()
	}
	in, err := ports[0].Connected(ctx)
	if err != nil {
		log.Fatal(err)
	}
	out, err := ports[1].Connected(ctx)
	if err != nil {
		log.Fatal(err)
	}

	if _, err := apps[0].WriteBatch(ctx, [][]byte{[]byte("one"), []byte("two")}); err != nil {
		log.Fatal(err)
	}
	for moved := 0; moved < 2; {
		if err := in.Wait(ctx); err != nil {
			log.Fatal(err)
		}
		n, err := memif.Forward(out.TxQueues()[0], in.RxQueues()[0], 64)
		if err != nil {
			log.Fatal(err)
		}
		moved += n
	}
	packet := make([]byte, 2048)
	for range 2 {
		n, err := apps[1].Read(ctx, packet)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", packet[:n])
	}
	// Output:
	// one
	// two
}
