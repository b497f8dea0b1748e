// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

// BenchmarkPump moves TCP through one port: sender, relay and receiver share
// the machine. Its MB/s are of payload.
func BenchmarkPump(b *testing.B) {
	w := newWire(b, 1)
	var listener net.Listener
	err := w.network.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(b.Context(), "tcp", net.JoinHostPort(twinV4, "0"))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	received := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			received <- 0
			return
		}
		defer conn.Close()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
		received <- n
	}()
	conn, err := w.pod.DialTCP(b.Context(), listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		b.Error(err)
	}
	if n := <-received; n != int64(b.N)*int64(len(chunk)) {
		b.Errorf("%d bytes arrived", n)
	}
	s := w.state(b, w.port.ID)
	b.ReportMetric(float64(s.RxBytes)/float64(s.RxFrames), "B/frame")
}

// BenchmarkAttach makes and opens both devices of a port, and closes them; the
// devices stay, so that their slow removal is not measured.
func BenchmarkAttach(b *testing.B) {
	pod, network := newSpace(b), newSpace(b)
	r := startRelay(b, b.TempDir())
	port := relayapi.TapPort{ID: "p", Queues: 1}
	i := 0
	for b.Loop() {
		i++
		port.Pod, port.Twin = pod.Link(fmt.Sprint("tap", i)), network.Link(fmt.Sprint("twin", i))
		r.attach(b, port)
		if err := r.client.Detach(b.Context(), []string{port.ID}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReattach opens a port whose devices are there.
func BenchmarkReattach(b *testing.B) {
	w := newWire(b, 1)
	for b.Loop() {
		if err := w.client.Detach(b.Context(), []string{w.port.ID}); err != nil {
			b.Fatal(err)
		}
		w.attach(b, w.port)
	}
}
