// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Command web is both ends of a service, for tests: a server that says who it is and
// by which address it was asked, and clients.
//
//	web serve 8080        answers HTTP and datagrams at this port
//	web udp ADDRESS:PORT  sends a datagram, and prints the answer
//	web load ADDRESS:PORT makes connections, one after the other, until SIGTERM
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// grace is for how long a server that is to end answers still: others hear
	// meanwhile that it is on its way out. The lab kills it after two seconds.
	grace = 1700 * time.Millisecond
	// patience is how long an answer may take.
	patience = 5 * time.Second
	// clients is how many ask at the same time.
	clients = 4
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: web serve PORT | udp ADDRESS:PORT | load ADDRESS:PORT")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch args[0] {
	case "serve":
		return serve(ctx, args[1])
	case "udp":
		return udp(ctx, args[1])
	case "load":
		return load(ctx, args[1])
	default:
		return fmt.Errorf("what is %q?", args[0])
	}
}

func serve(ctx context.Context, port string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
			fmt.Fprintf(w, "%s at %s to %s\n", host, at, r.RemoteAddr)
		}),
	}
	server.SetKeepAlivesEnabled(false)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	// The kernel takes the main interface's address for answers of a socket that is
	// bound to none.
	for _, a := range addresses {
		network, ok := a.(*net.IPNet)
		if !ok || network.IP.IsLinkLocalUnicast() {
			continue
		}
		socket, err := net.ListenPacket("udp", net.JoinHostPort(network.IP.String(), port))
		if err != nil {
			return err
		}
		go echo(socket, host)
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		<-time.After(grace)
		ended <- server.Shutdown(context.WithoutCancel(ctx))
	}()
	server.Addr = ":" + port
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

func echo(socket net.PacketConn, host string) {
	buffer := make([]byte, 64)
	for {
		_, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(to{socket, from}, "%s at %s to %s\n", host, socket.LocalAddr(), from) // who asks asks again
	}
}

type to struct {
	net.PacketConn
	peer net.Addr
}

func (t to) Write(text []byte) (int, error) { return t.WriteTo(text, t.peer) }

func udp(ctx context.Context, address string) error {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "udp", address)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := socket.Write([]byte("who?")); err != nil {
		return err
	}
	answer := make([]byte, 256)
	n, err := socket.Read(answer)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(answer[:n])
	return err
}

// result is what came of a load.
type result struct {
	sync.Mutex
	answers map[string]int // by who answered
	failed  []string
}

func load(ctx context.Context, address string) error {
	all := &result{answers: map[string]int{}}
	fmt.Println("asking", address)
	var askers sync.WaitGroup
	for range clients {
		askers.Go(func() {
			for ctx.Err() == nil {
				all.ask(ctx, address)
			}
		})
	}
	askers.Wait()
	for _, host := range slices.Sorted(maps.Keys(all.answers)) {
		fmt.Printf("%s answered %d times\n", host, all.answers[host])
	}
	fmt.Printf("%d connections failed\n", len(all.failed))
	if len(all.failed) > 0 {
		return errors.New(all.failed[0])
	}
	return nil
}

func (r *result) ask(ctx context.Context, address string) {
	began := time.Now()
	text, err := get(context.WithoutCancel(ctx), address) // what was begun is ended
	r.Lock()
	defer r.Unlock()
	if err != nil {
		r.failed = append(r.failed, fmt.Sprintf("after %s: %v", time.Since(began).Round(time.Millisecond), err))
		return
	}
	host, _, _ := strings.Cut(text, " ")
	r.answers[host]++
}

func get(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, http.NoBody)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
