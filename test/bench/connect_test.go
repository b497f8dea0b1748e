// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/figure"
)

// serviceConnections is the rest of P11: connections, and a stream, through a service
// against nftables by hand on a node of the same make; and through one among many.
func serviceConnections(t *testing.T, s *sheet) {
	t.Helper()
	hand, ten := newConnectArm(t, "by hand"), newConnectArm(t, "10 backends")
	many, big := newConnectArm(t, "10 of 10,000 backends"), newConnectArm(t, "10,000 backends")
	translateByHand(t, hand.node)
	stream := tcpService(1, backendsOf(0, fewBackends))
	stream.Frontends[0].Port = 81
	for i := range stream.Backends {
		stream.Backends[i].Port = servedPort + 1
	}
	newServicesNode(t, ten.node).apply(tcpService(0, backendsOf(0, fewBackends)), stream)
	newServicesNode(t, many.node).apply(allServices()...)
	newServicesNode(t, big.node).apply(tcpService(0, backendsOf(0, manyBackends)))
	arms := []*connectArm{hand, ten, many, big}
	// Short rounds, so that all have the same of whatever else the machine does.
	for range 50 * s.flows {
		for _, a := range arms {
			a.connect(t)
		}
	}
	for _, a := range arms[1:] {
		s.Ratio("P11 connections through a service, "+a.Name+", vs DNAT by hand to 10", a.Median()/hand.Median(), figure.AtLeast(0.95), "k/s", &a.Arm, &hand.Arm)
	}
	for _, a := range arms[2:] {
		s.Ratio("P11 connections, "+a.Name+" vs 10", a.Median()/ten.Median(), figure.AtLeast(0.95), "k/s", &a.Arm, &ten.Arm)
	}
	serviceStreams(t, s, hand, ten)
}

// serviceStreams is TCP's throughput.
func serviceStreams(t *testing.T, s *sheet, hand, ten *connectArm) {
	t.Helper()
	arms := make([]*flowArm, 2)
	for i, a := range []*connectArm{hand, ten} {
		arms[i] = &flowArm{Arm: figure.Arm{Name: a.Name}, from: a.client, to: flowEnd{a.server.ns, "0.0.0.0"}, port: fmt.Sprint(servedPort + 1)}
		arms[i].serve(t)
		arms[i].to.address, arms[i].port = serviceAddress(1).String(), "81"
	}
	for range 2 * s.flows {
		for _, a := range arms {
			a.Add(a.tcpOfCPU(t, s))
		}
	}
	s.Ratio("P11 TCP through a service vs DNAT by hand", arms[1].Median()/arms[0].Median(), figure.AtLeast(0.95), "Gb per CPU second", &arms[1].Arm, &arms[0].Arm)
}

// connectArm is a node with a client, and a server that has all addresses of backends.
type connectArm struct {
	figure.Arm
	node           *netns.Handle
	client, server flowEnd
}

func newConnectArm(t *testing.T, name string) *connectArm {
	t.Helper()
	node, pods := byHand(t)
	a := &connectArm{Arm: figure.Arm{Name: name}, node: node, client: pods[0], server: pods[1]}
	run(t, node, "ip", "route", "add", "10.2.0.0/16", "via", a.server.address, "dev", "pod1", "onlink")
	run(t, a.server.ns, "ip", "route", "add", "local", "10.2.0.0/16", "dev", "lo")
	run(t, a.server.ns, "ip", "rule", "add", "from", "10.2.0.0/16", "lookup", "1001", "priority", "1001")
	// What was reset is forgotten soon, or the table of connections fills up.
	run(t, node, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
	a.listen(t)
	return a
}

// translateByHand is what an administrator would write for one service.
func translateByHand(t *testing.T, node *netns.Handle) {
	t.Helper()
	var targets []string
	for i, b := range backendsOf(0, fewBackends) {
		targets = append(targets, fmt.Sprintf("%d : %s . %d", i, b.Address, b.Port))
	}
	run(t, node, "nft", "add table ip hand; add chain ip hand pre { type nat hook prerouting priority dstnat; }; "+
		fmt.Sprintf("add rule ip hand pre ip daddr %s tcp dport 80 dnat to numgen random mod %d map { %s }", serviceAddress(0), fewBackends, strings.Join(targets, ", ")))
	run(t, node, "nft", fmt.Sprintf("add rule ip hand pre ip daddr %s tcp dport 81 dnat to numgen random mod %d map { %s }", serviceAddress(1), fewBackends,
		strings.ReplaceAll(strings.Join(targets, ", "), fmt.Sprint(servedPort), fmt.Sprint(servedPort+1))))
}

// listen takes connections and ends them.
func (a *connectArm) listen(t *testing.T) {
	t.Helper()
	var listener int
	if err := a.server.ns.Do(func() (err error) {
		if listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Port: servedPort}), unix.Listen(listener, 4096))
	}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
			switch {
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			case err != nil:
				return
			default:
				_ = unix.Close(conn)
			}
		}
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(listener, unix.SHUT_RDWR)
		<-ended
		_ = unix.Close(listener)
	})
}

// connect makes some connections, one after another and each ended at once, and adds
// how many thousands a second that were, of the time that the client's thread was on
// a CPU: a packet goes all its way, by the node to the server's socket, within the
// call that sends it, so that this is the whole cost, whatever else the machine does.
func (a *connectArm) connect(t *testing.T) {
	t.Helper()
	const count = 100
	from, to := netip.MustParseAddr(a.client.address), serviceAddress(0)
	err := a.client.ns.Do(func() error {
		begin, err := threadTime()
		if err != nil {
			return err
		}
		for range count {
			if err := connectOnce(from, to); err != nil {
				return err
			}
		}
		end, err := threadTime()
		a.Add(count / (end - begin).Seconds() / 1e3)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", a.Name, err)
	}
}

// threadTime is how long the thread has been on a CPU.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}

func connectOnce(from, to netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// A reset leaves no port behind that waits.
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4(), Port: 80}),
	)
	return errors.Join(err, unix.Close(fd))
}
