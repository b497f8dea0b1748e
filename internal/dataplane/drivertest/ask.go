// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// patience is how long an answer may take, and forbearance how long one is waited
// for that should not come.
const (
	patience    = 10 * time.Second
	forbearance = 300 * time.Millisecond
)

// answer is what a backend says: which it is, and whom it sees.
type answer struct {
	Backend string
	Client  netip.Addr
}

// serve has a process in a place answer to whoever asks at an address, until the
// test ends, and gives it as a backend.
func (b *serviceBench) serve(at Place, address netip.Addr, port uint16, p model.Protocol) desired.Backend {
	b.Helper()
	to := netip.AddrPortFrom(address, port)
	var server io.Closer
	err := at.Do(func() (err error) {
		switch p {
		case model.TCP:
			server, err = serveTCP(b.Context(), to)
		case model.UDP:
			server, err = serveUDP(to)
		case model.SCTP:
			server, err = serveSCTP(b.Context(), to)
		}
		return err
	})
	if err != nil {
		b.Fatalf("serve at %s/%s: %v", to, p, err)
	}
	b.Cleanup(func() { _ = server.Close() })
	return desired.Backend{Address: address, Port: port}
}

func serveTCP(ctx context.Context, at netip.AddrPort) (io.Closer, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "%s %s\n", at, conn.RemoteAddr())
			go echoTCP(conn)
		}
	}()
	return listener, nil
}

// echoTCP sends back what comes, until the other side is done.
func echoTCP(conn net.Conn) {
	defer conn.Close()
	_, _ = io.Copy(conn, conn)
}

func serveUDP(at netip.AddrPort) (io.Closer, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 64)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %s\n", at, from), from)
		}
	}()
	return conn, nil
}

// ask asks once, from any port.
func (b *serviceBench) ask(from Place, p model.Protocol, to netip.AddrPort) (answer, error) {
	return b.askWithin(patience, from, p, to)
}

func (b *serviceBench) askWithin(limit time.Duration, from Place, p model.Protocol, to netip.AddrPort) (a answer, err error) {
	err = from.Do(func() error {
		text, err := askOnce(b.Context(), limit, p, to)
		if err != nil {
			return err
		}
		a, err = parseAnswer(text)
		return err
	})
	if err != nil {
		return a, fmt.Errorf("%s/%s: %w", to, p, err)
	}
	return a, nil
}

func askOnce(ctx context.Context, limit time.Duration, p model.Protocol, to netip.AddrPort) (string, error) {
	if p == model.SCTP {
		return askSCTP(limit, to)
	}
	dialer := net.Dialer{Timeout: limit}
	conn, err := dialer.DialContext(ctx, strings.ToLower(string(p)), to.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return exchange(conn, limit)
}

// exchange says a word and hears the answer.
func exchange(conn net.Conn, limit time.Duration) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, isUDP := conn.(*net.UDPConn); isUDP {
		if _, err := conn.Write([]byte("who?")); err != nil {
			return "", err
		}
	}
	buffer := make([]byte, 256)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

func parseAnswer(text string) (answer, error) {
	backend, client, _ := strings.Cut(strings.TrimSpace(text), " ")
	from, err := netip.ParseAddrPort(client)
	if err != nil {
		return answer{}, fmt.Errorf("the answer is %q", text)
	}
	return answer{Backend: backend, Client: from.Addr().Unmap()}, nil
}

// expectAnswer fails unless one of the backends answers, and gives what it says.
func (b *serviceBench) expectAnswer(from Place, s desired.Service, f desired.Frontend, by ...desired.Backend) answer {
	b.Helper()
	a, err := b.ask(from, s.Key.Protocol, b.at(f, s.Key))
	if err != nil {
		b.Errorf("%s at %s: %v", s.Key, f, err)
		return a
	}
	for _, e := range by {
		if netip.AddrPortFrom(e.Address, e.Port).String() == a.Backend {
			return a
		}
	}
	b.Errorf("%s at %s: answered by %s", s.Key, f, a.Backend)
	return a
}

// at is where a frontend is asked for.
func (b *serviceBench) at(f desired.Frontend, key desired.ServiceKey) netip.AddrPort {
	if f.Kind != desired.FrontendNode {
		return netip.AddrPortFrom(f.Address, f.Port)
	}
	family := 0
	if key.IPv6 {
		family = 1
	}
	return netip.AddrPortFrom(b.Node.Addresses[family], f.Port)
}
