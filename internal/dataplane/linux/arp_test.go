// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// TestForgedARPTeachesNothing: a pod that asks for the gateway in the name of
// others fills no neighbour table, which the whole machine shares. In its own
// name it is answered.
func TestForgedARPTeachesNothing(t *testing.T) {
	w := newWired(t)
	pod := w.add(1)
	port, err := net.InterfaceByName(w.driver.PortName(desired.Owner{ContainerID: "c1", IfName: "eth0"}, "eth0"))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.OpenExact(pod)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(func() error { return forge("eth0", 200) }); err != nil {
		t.Fatal(err)
	}
	w.mustRun(pod, ping+"10.1.1.1") // behind them, so that they were looked at
	own, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	handle, err := nl.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	neighbors, err := handle.NeighList(port.Index, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range neighbors {
		if n.State != netlink.NUD_PERMANENT && n.State != netlink.NUD_NOARP {
			t.Errorf("the node has learned of %s", n.IP)
		}
	}
	w.mustRun(pod, "ip neigh del 10.1.1.1 dev eth0; "+ping+"10.1.1.1")
}

// forge sends ARP requests for the gateway from as many addresses of others.
func forge(device string, senders byte) error {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for sender := range senders {
		frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, link.HardwareAddr...)
		for _, field := range []uint16{unix.ETH_P_ARP, 1, unix.ETH_P_IP, 6<<8 | 4, 1} { // Ethernet, IPv4, a request
			frame = binary.BigEndian.AppendUint16(frame, field)
		}
		frame = append(append(frame, link.HardwareAddr...), 203, 0, 113, sender)
		frame = append(frame, 0, 0, 0, 0, 0, 0, 10, 1, 1, 1)
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
			return err
		}
	}
	return nil
}
