// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

// seen is everything that came to a namespace's interfaces and left by them since
// capture began.
type seen struct {
	t     *testing.T
	at    *netns.Handle
	fd    int
	ports map[int]string // names of interfaces
	all   []captured
}

type captured struct {
	frame  []byte
	port   string
	leaves bool
}

// capture begins.
func capture(t *testing.T, at *netns.Handle) *seen {
	t.Helper()
	const buffer = 64 << 20 // all that a trial sends, and more
	s := &seen{t: t, at: at, fd: -1, ports: map[int]string{}}
	err := at.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err == nil {
		t.Cleanup(func() { unix.Close(s.fd) })
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer)
	}
	if err == nil {
		err = unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// frames are those until now, in their order.
func (s *seen) frames() []captured {
	s.t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(s.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return s.all
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && n >= 14 {
			leaves := link.Pkttype == unix.PACKET_OUTGOING
			s.all = append(s.all, captured{frame: append([]byte{}, buffer[:n]...), port: s.port(link.Ifindex), leaves: leaves})
		}
	}
}

func (s *seen) port(index int) string {
	s.t.Helper()
	if s.ports[index] == "" {
		if err := s.at.Do(func() error {
			i, err := net.InterfaceByIndex(index)
			if err == nil {
				s.ports[index] = i.Name
			}
			return err
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.ports[index]
}

func (c captured) isARP(operation byte) bool {
	return binary.BigEndian.Uint16(c.frame[12:]) == unix.ETH_P_ARP && len(c.frame) >= 42 && c.frame[21] == operation
}

// isICMP6 tells of a message of a type.
func (c captured) isICMP6(kind byte) bool {
	return binary.BigEndian.Uint16(c.frame[12:]) == unix.ETH_P_IPV6 && len(c.frame) > 54 && c.frame[20] == unix.IPPROTO_ICMPV6 && c.frame[54] == kind
}

func (c captured) isEchoReply() bool {
	isV4 := binary.BigEndian.Uint16(c.frame[12:]) == unix.ETH_P_IP && len(c.frame) > 34 && c.frame[23] == unix.IPPROTO_ICMP && c.frame[34] == 0
	return isV4 || c.isICMP6(129)
}

// hostOf is an interface's, in the dual stack network.
func hostOf(i inspect.Interface) host {
	return host{mac: i.MAC, v4: i.IPs[0].Addr(), v6: i.IPs[1].Addr()}
}

// gatewayAt is the gateway as a memif's application sees it.
func gatewayAt(t *testing.T, i inspect.Interface) host {
	t.Helper()
	link, err := net.InterfaceByName(i.Port)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := link.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	gateway := host{mac: [6]byte(link.HardwareAddr)}
	for _, a := range addresses {
		switch p := netip.MustParsePrefix(a.String()).Addr(); {
		case p.Is4():
			gateway.v4 = p
		case !p.IsLinkLocalUnicast():
			gateway.v6 = p
		}
	}
	return gateway
}

// reach has a pod ping a host in both families, and reports what is not answered.
func reach(from *harness.Pod, to host) error {
	return errors.Join(
		from.Run("ping", "-n", "-q", "-c", "1", "-W", "5", to.v4.String()),
		from.Run("ping", "-n", "-q", "-c", "1", "-W", "5", to.v6.String()),
	)
}

func sendAll(app *harness.MemifApp, frames [][]byte) error {
	for _, f := range frames {
		if err := app.Send(f); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command on the node, which must succeed.
func run(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	return string(out)
}
