// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/test/harness"
)

const memifSecret = "bcdfghjklmnpqrstvwxz"

// application is this process at a memif: 10.1.1.12, and a MAC of its own choice.
type application struct {
	*memif.Interface
	t    *testing.T
	mac  [6]byte
	v4   netip.Addr
	v6   netip.Addr
	port model.MAC // of the switch's end

	owner   desired.Owner
	objects []desired.Object
}

// memif makes a pod with a memif in the default network and connects to it.
func (w *wired) memif() *application {
	w.t.Helper()
	return w.memifIn(model.DefaultNetwork, netip.MustParseAddr("10.1.1.12"), netip.MustParseAddr("fd10:1:0:1::12"))
}

// memifIn makes a pod with a memif, which is in the test's own namespace because
// the application is, and connects to it.
func (w *wired) memifIn(network string, addresses ...netip.Addr) *application {
	w.t.Helper()
	own, err := netns.Own()
	if err != nil {
		w.t.Fatal(err)
	}
	defer own.Close()
	folder := w.t.TempDir()
	a := model.Attachment{
		ID:    model.AttachmentID{ContainerID: "c1", IfName: "eth0"},
		Pod:   model.PodRef{Namespace: "default", Name: "pod-1"},
		Netns: model.Netns{Path: "/proc/self/ns/net", Inode: own.Inode()}, MTU: 1450,
	}
	a.Interfaces = []model.Interface{{
		Name: "memif1", Type: podif.Memif, Network: network, Queues: 1, Addresses: addresses,
		Memif: &model.Memif{Folder: folder, Secret: model.NewSecret(memifSecret)},
	}}
	objects, err := w.node.Attachment(a)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(a.ID, objects)
	i, err := memif.Dial(folder+"/memif.sock", memif.Config{Secret: memifSecret, Application: "test 1.0", Name: "if"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = i.Close() })
	return &application{
		Interface: i, t: w.t, mac: [6]byte{2, 0, 0, 0, 0, 1}, v4: netip.MustParseAddr("10.1.1.12"), v6: netip.MustParseAddr("fd10:1:0:1::12"), port: model.SwitchMAC(a.ID.ContainerID, "memif1"),
		owner: a.ID, objects: objects,
	}
}

// send sends an Ethernet frame.
func (a *application) send(to []byte, kind uint16, packet []byte) {
	a.t.Helper()
	frame := binary.BigEndian.AppendUint16(append(slices.Clone(to), a.mac[:]...), kind)
	if _, err := a.Write(a.t.Context(), append(frame, packet...)); err != nil {
		a.t.Fatal(err)
	}
}

// receive waits for a frame, after its Ethernet header, that is the one.
func (a *application) receive(what string, is func(kind uint16, packet []byte) bool) []byte {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	frame := make([]byte, memif.MaxPacket)
	for {
		n, err := a.Read(ctx, frame)
		if err != nil {
			a.t.Fatalf("no %s: %v", what, err)
		}
		if n > 14 && is(binary.BigEndian.Uint16(frame[12:]), frame[14:n]) {
			return slices.Clone(frame[:n])
		}
	}
}

var (
	broadcast   = []byte{255, 255, 255, 255, 255, 255}
	gateway4    = netip.MustParseAddr("10.1.1.1")
	gateway6    = netip.MustParseAddr("fd10:1:0:1::1")
	linkLocal6  = netip.MustParseAddr("fe80::1234")
	unspecified = netip.IPv6Unspecified()
)

const (
	kindARP, kindIPv6           = 0x0806, 0x86dd
	solicitation, advertisement = 135, 136
)

func (a *application) arp(operation uint16, target netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4}
	p = binary.BigEndian.AppendUint16(p, operation)
	p = append(append(p, a.mac[:]...), a.v4.AsSlice()...)
	return append(append(p, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

// neighbor is a neighbour solicitation or advertisement with our MAC (RFC 4861).
func (a *application) neighbor(kind byte, from, to, target netip.Addr) []byte {
	message := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	option := byte(1)
	if kind == advertisement {
		message[4], option = 0x60, 2
	}
	return icmp6(from, to, append(append(message, option, 1), a.mac[:]...))
}

// icmp6 is an ICMPv6 message in a packet, of neighbour discovery.
func icmp6(from, to netip.Addr, message []byte) []byte {
	pseudo := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, 0, 0, byte(len(message)), 0, 0, 0, 58}, message)
	var sum uint32
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum+sum>>16))
	return slices.Concat([]byte{0x60, 0, 0, 0, 0, byte(len(message)), 58, 255}, from.AsSlice(), to.AsSlice(), message)
}

// An application has no permanent neighbours: the gateway answers it, whatever
// address it asks from, and goes on doing so when its addresses were removed.
func TestTheGatewayAnswersOnAMemif(t *testing.T) {
	w := newWired(t)
	app := w.memif()
	group := netip.MustParseAddr("ff02::1:ff00:1")
	for round := range 2 {
		if round > 0 {
			w.flush(app)
		}
		app.send(broadcast, kindARP, app.arp(1, gateway4))
		reply := app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
		if !bytes.Equal(reply[22:28], app.port[:]) || !bytes.Equal(reply[28:32], gateway4.AsSlice()) {
			t.Errorf("ARP reply %x, want %s at %s", reply, gateway4, app.port)
		}
		for _, from := range []netip.Addr{app.v6, linkLocal6} {
			app.send([]byte{0x33, 0x33, 0xff, 0, 0, 1}, kindIPv6, app.neighbor(solicitation, from, group, gateway6))
			reply := app.receive("neighbour advertisement to "+from.String(), func(kind uint16, p []byte) bool {
				return kind == kindIPv6 && p[6] == 58 && p[40] == advertisement && bytes.Equal(p[24:40], from.AsSlice())
			})
			if p := reply[14:]; !bytes.Equal(p[48:64], gateway6.AsSlice()) || !bytes.Equal(p[66:72], app.port[:]) {
				t.Errorf("advertisement %x, want %s at %s", p, gateway6, app.port)
			}
		}
	}
	// In the name of others it is not answered, and teaches nothing.
	other := *app
	other.v4 = netip.MustParseAddr("10.1.1.99")
	app.send(broadcast, kindARP, other.arp(1, gateway4))
	app.send(broadcast, kindARP, app.arp(1, gateway4))
	reply := app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
	if !bytes.Equal(reply[38:42], app.v4.AsSlice()) {
		t.Errorf("an ARP request in the name of another is answered: %x", reply)
	}
	before := dropped(t)
	stranger := netip.MustParseAddr("fd10:1:0:1::99")
	app.send(app.port[:], kindIPv6, app.neighbor(solicitation, stranger, group, gateway6))
	app.send(broadcast, kindARP, app.arp(1, gateway4)) // behind it
	app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
	if dropped(t) == before {
		t.Error("a packet from another's address was not dropped")
	}
}

// At a memif in the stub network nobody answers, though what is sent is taken.
func TestNobodyAnswersAtAMemifInTheStubNetwork(t *testing.T) {
	w := newWired(t)
	app := w.memifIn(model.StubNetwork)
	if _, err := app.Connected(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.send(broadcast, kindARP, app.arp(1, gateway4))
	app.send([]byte{0x33, 0x33, 0xff, 0, 0, 1}, kindIPv6, app.neighbor(solicitation, linkLocal6, netip.MustParseAddr("ff02::1:ff00:1"), gateway6))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	frame := make([]byte, memif.MaxPacket)
	for {
		n, err := app.Read(ctx, frame)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(frame[:6], app.mac[:]) { // not what a kernel tells everybody
			t.Errorf("answered: %x", frame[:n])
		}
	}
	harness.Eventually(t, 20*time.Second, func() error {
		all, err := w.driver.Memifs(t.Context())
		if m := all[app.objects[0].Key()]; err == nil && m.RxPackets != 2 {
			err = fmt.Errorf("told %+v, want both frames taken", m)
		}
		return err
	})
}

// A pod is no router, whatever the machine's settings are.
func TestNobodyObeysARouterAtAMemif(t *testing.T) {
	w := newWired(t)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_ra", []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := w.memif()
	all := netip.MustParseAddr("ff02::1")
	advert := append([]byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, app.mac[:]...)
	app.send([]byte{0x33, 0x33, 0, 0, 0, 1}, kindIPv6, icmp6(linkLocal6, all, advert))
	app.send(broadcast, kindARP, app.arp(1, gateway4)) // behind it
	app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
	out, err := exec.CommandContext(t.Context(), "ip", "-6", "route", "show", "proto", "ra").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: routes %s", err, out)
	}
}

// flush takes the addresses away from the switch's end, which is noticed and
// mended.
func (w *wired) flush(app *application) {
	w.t.Helper()
	twin := w.driver.PortName(app.owner, "memif1")
	if out, err := exec.Command("ip", "addr", "flush", "dev", twin).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	want := desired.NewSet(app.objects...)
	found, err := w.driver.Observe(w.t.Context(), dataplane.Scope{Want: want})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(desired.Diff(found, want)) == 0 {
		w.t.Error("addresses that are gone are not missed")
	}
	w.apply(app.owner, app.objects)
}

// Who wants to reach the application has it asked, by the gateway: its MAC is its
// own choice.
func TestAnApplicationIsAsked(t *testing.T) {
	w := newWired(t)
	app := w.memif()
	pod := w.add(2)
	var pings sync.WaitGroup // they end in vain, as nobody answers
	defer pings.Wait()
	pings.Go(func() { _ = w.run(pod, "ping -n -c 1 -W 1 "+app.v4.String()) })
	request := app.receive("ARP request", func(kind uint16, p []byte) bool {
		return kind == kindARP && p[7] == 1 && bytes.Equal(p[24:28], app.v4.AsSlice())
	})
	if !bytes.Equal(request[28:32], gateway4.AsSlice()) {
		t.Errorf("ARP request %x, want one from %s", request, gateway4)
	}
	app.send(request[6:12], kindARP, app.arp(2, gateway4))
	app.receive("ping", func(kind uint16, p []byte) bool { return kind == 0x0800 && p[20] == 8 })
	pings.Go(func() { _ = w.run(pod, "ping -n -c 1 -W 1 "+app.v6.String()) })
	asked := app.receive("neighbour solicitation", func(kind uint16, p []byte) bool {
		return kind == kindIPv6 && p[6] == 58 && p[40] == solicitation && bytes.Equal(p[48:64], app.v6.AsSlice())
	})
	asker := netip.AddrFrom16([16]byte(asked[22:38]))
	if asker == unspecified {
		t.Errorf("solicitation %x from nobody", asked)
	}
	app.send(asked[6:12], kindIPv6, app.neighbor(advertisement, app.v6, asker, app.v6))
	got := app.receive("IPv6 ping", func(kind uint16, p []byte) bool { return kind == kindIPv6 && p[6] == 58 && p[40] == 128 })
	if !bytes.Equal(got[:6], app.mac[:]) {
		t.Errorf("the ping is for MAC %x, want the application's own, %x", got[:6], app.mac)
	}
}

// A socket that the pod removes is missed, and made again.
func TestAMemifSocketIsMissed(t *testing.T) {
	w := newWired(t)
	app := w.memif()
	want := desired.NewSet(app.objects...)
	for key, o := range want {
		if m, ok := o.(desired.Memif); ok {
			if err := os.Remove(filepath.Join(m.Folder, "memif.sock")); err != nil {
				t.Fatal(err)
			}
			found, err := w.driver.Observe(t.Context(), dataplane.Scope{Want: want})
			if err != nil || found[key] == nil || found[key].Equal(o) {
				t.Errorf("found %v, %v, want it to differ", found, err)
			}
		}
	}
	w.apply(app.owner, app.objects)
	app.send(broadcast, kindARP, app.arp(1, gateway4))
	app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
}

// How a memif fares is told: who is connected, what passed.
func TestMemifsAreTold(t *testing.T) {
	w := newWired(t)
	app := w.memif()
	if _, err := app.Connected(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.send(broadcast, kindARP, app.arp(1, gateway4))
	app.receive("ARP reply", func(kind uint16, p []byte) bool { return kind == kindARP && p[7] == 2 })
	harness.Eventually(t, 20*time.Second, func() error { // the relay counts what it has sent
		m := w.told(app)
		if m.Application == nil || m.Application.Name != "test 1.0" || m.RxPackets != 1 || m.TxPackets == 0 {
			return fmt.Errorf("told %+v", m)
		}
		return nil
	})
}

// told is what the driver tells of the only memif.
func (w *wired) told(app *application) model.MemifStatus {
	w.t.Helper()
	all, err := w.driver.Memifs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	m, ok := all[desired.Key{Owner: app.owner, Kind: desired.KindMemif, Name: "memif1"}]
	if !ok || len(all) != 1 {
		w.t.Errorf("told %+v", all)
	}
	return m
}
