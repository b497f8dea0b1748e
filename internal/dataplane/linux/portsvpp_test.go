// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/vpp"
)

// vppNode is a node of which VPP is the switch, told by its command line.
type vppNode struct {
	*portsNode
	vpp *vpp.Process
}

// fill has VPP make its part of what pods should have.
func (n *vppNode) fill(socket string, pods ...[]desired.Object) {
	n.t.Helper()
	do := func(format string, args ...any) {
		n.t.Helper()
		n.vpp.Do(n.t, fmt.Sprintf(format, args...))
	}
	do("create loopback interface")
	do("set interface state loop0 up")
	for _, g := range n.node.Default.Gateways {
		do("set interface ip address loop0 %s/%d", g, g.BitLen())
	}
	do("create memif socket id 1 filename %s", socket)
	for _, objects := range pods {
		names := map[string]string{}
		for _, o := range objects {
			switch o := o.(type) {
			case desired.Veth:
				link := n.driver.PortName(o.Owner, o.Pod.Name)
				names[o.Pod.Name] = "host-" + link
				do("create host-interface v2 name %s hw-addr %s", link, o.SwitchMAC)
			case desired.Tap:
				id := n.peer(o).ID
				names[o.Pod.Name] = fmt.Sprintf("memif1/%d", id)
				do("create interface memif id %d socket-id 1 hw-addr %s master", id, o.SwitchMAC)
				do("set interface feature gso %s enable", names[o.Pod.Name]) // VPP itself cuts what a veth gave it whole
			case desired.Route:
				do("ip route add %s via %s", o.Dst, names[o.Interface])
			case desired.Neighbor:
				do("set ip neighbor static %s %s %s", names[o.Interface], o.IP, o.MAC)
			case desired.Network, desired.HostLink, desired.Memif:
			}
			if p, ok := desired.PortOf(o); ok {
				do("set interface mtu packet %d %s", p.MTU, names[p.Pod.Name])
				do("set interface rx-mode %s interrupt", names[p.Pod.Name])
				do("set interface unnumbered %s use loop0", names[p.Pod.Name])
				do("set interface state %s up", names[p.Pod.Name])
			}
		}
	}
}

// TestPortsOfVPP: every interface of a pod reaches every one of another through
// VPP, also one that was killed and filled again, with the kernel's part as it was.
func TestPortsOfVPP(t *testing.T) {
	n := &vppNode{portsNode: newPortsNode(t)}
	n.vpp = vpp.Start(t, vpp.Config{})
	var pods []model.Netns
	var wanted [][]desired.Object
	for i := 1; i <= 2; i++ {
		ns := n.pod()
		n.make(n.ports(i, ns))
		pods = append(pods, ns)
		objects := n.objects(i, ns, model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
		wanted = append(wanted, objects)
	}
	for range 2 {
		n.fill(n.peer(desired.Tap{}).Socket, wanted...)
		n.tapsConnected()
		for _, dev := range []string{"eth0", "tap1"} {
			for _, target := range []string{"10.1.1.1", "10.1.1.21", "10.1.1.22", "fd10:1:0:1::1", "fd10:1:0:1::21", "fd10:1:0:1::22"} {
				n.mustRun(pods[0], ping+"-I "+dev+" "+target)
			}
			n.mustRun(pods[1], ping+"-I "+dev+" -M do -s 1422 10.1.1.11")
			n.mustRun(pods[1], ping+"-I "+dev+" -M do -s 1422 10.1.1.12")
		}
		n.transfer(pods, "10.1.1.21")
		n.transfer(pods, "fd10:1:0:1::22")
		for i, ns := range pods {
			n.expectFound(n.ports(i+1, ns))
		}
		n.vpp.Kill()
		n.vpp.Start(t)
	}
}

// tapsConnected waits until VPP has every tap.
func (n *vppNode) tapsConnected() {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		list, err := n.relay.List(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		if allConnected(list) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("not all taps are connected: %+v", list)
		}
	}
}

func allConnected(list []relayapi.PortState) bool {
	for _, p := range list {
		if p.Link == nil || !p.Link.Connected {
			return false
		}
	}
	return true
}

// transfer moves 8 MiB by TCP from the first pod to an address of the second.
func (n *vppNode) transfer(pods []model.Netns, to string) {
	n.t.Helper()
	const size = 8 << 20
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- n.receive(pods[1], to, size, ready)
	}()
	<-ready
	n.mustRun(pods[0], fmt.Sprintf("timeout 20 bash -c 'head -c %d /dev/zero >/dev/tcp/%s/4243'", size, to))
	if err := <-done; err != nil {
		n.t.Errorf("to %s: %v", to, err)
	}
}

// receive takes one connection in a pod, and counts its bytes.
func (n *vppNode) receive(ns model.Netns, at string, size int64, ready chan<- struct{}) error {
	defer close(ready)
	h, err := netns.OpenExact(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	var listener net.Listener
	err = h.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(n.t.Context(), "tcp", net.JoinHostPort(at, "4243"))
		return err
	})
	if err != nil {
		return err
	}
	defer listener.Close()
	ready <- struct{}{}
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	got, err := io.Copy(io.Discard, conn)
	if err == nil && got != size {
		err = fmt.Errorf("%d bytes of %d arrived", got, size)
	}
	return err
}

// expectFound is expect beside what others want.
func (n *vppNode) expectFound(want desired.Set) {
	n.t.Helper()
	found, err := n.driver.Observe(n.t.Context(), dataplane.Scope{Want: want})
	if err != nil {
		n.t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), found.String()); diff != "" {
		n.t.Errorf("observed (-want +got):\n%s", diff)
	}
}
