// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
)

// strangers is how many addresses are made up in each way, some five times what
// the kernel's neighbour table, one for the whole machine, has room for.
const strangers = 5000

// forger sends whatever it likes from a pod, as who has an address.
type forger struct {
	t    *testing.T
	name string // of the interface
	// space is the network's namespace.
	space string
	send  func(frame []byte)
	// settle returns once what was sent has been looked at.
	settle func()
	mac    [6]byte
	own    netip.Addr
	port   model.MAC // of the switch's end
}

// forgeries are ways in which a frame makes the kernel learn or look for the
// n-th address that nobody has.
var forgeries = map[string]func(f *forger, n int) []byte{
	"ARP request": func(f *forger, n int) []byte { return f.arp(1, n) },
	"ARP reply":   func(f *forger, n int) []byte { return f.arp(2, n) },
	"solicitation of the gateway": func(f *forger, n int) []byte {
		return f.frame(f.discovery(solicitation, stranger(n), netip.MustParseAddr("ff02::1:ff00:1"), gateway6))
	},
	"solicitation of the switch": func(f *forger, n int) []byte {
		return f.frame(f.discovery(solicitation, stranger(n), f.linkLocal(), f.linkLocal()))
	},
	"solicitation with a VLAN tag of no VLAN": func(f *forger, n int) []byte {
		frame := f.frame(f.discovery(solicitation, stranger(n), f.linkLocal(), f.linkLocal()))
		return slices.Insert(frame, 12, 0x81, 0, 0, 0)
	},
	"unasked advertisement": func(f *forger, n int) []byte {
		return f.frame(f.discovery(advertisement, stranger(n), netip.MustParseAddr("ff02::1"), stranger(n)))
	},
	"solicitation of a router": func(f *forger, n int) []byte {
		return f.frame(icmp6(stranger(n), netip.MustParseAddr("ff02::2"), append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1}, f.mac[:]...)))
	},
	"ping": func(f *forger, n int) []byte {
		return f.frame(icmp6(stranger(n), f.linkLocal(), []byte{128, 0, 0, 0, 0, 0, 0, 0}))
	},
	"packet to nobody": func(f *forger, n int) []byte {
		return f.frame(icmp6(f.own, stranger(n), []byte{128, 0, 0, 0, 0, 0, 0, 0}))
	},
}

func stranger(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 13: 1, 14: byte(n >> 8), 15: byte(n)})
}

func (f *forger) linkLocal() netip.Addr {
	p := f.port
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: p[0] ^ 2, 9: p[1], 10: p[2], 11: 0xff, 12: 0xfe, 13: p[3], 14: p[4], 15: p[5]})
}

func (f *forger) arp(operation uint16, n int) []byte {
	a := application{mac: f.mac, v4: netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})}
	return slices.Concat(broadcast, f.mac[:], []byte{8, 6}, a.arp(operation, gateway4))
}

func (f *forger) discovery(kind byte, from, to, target netip.Addr) []byte {
	return (&application{mac: f.mac}).neighbor(kind, from, to, target)
}

func (f *forger) frame(packet []byte) []byte {
	return slices.Concat(f.port[:], f.mac[:], []byte{0x86, 0xdd}, packet)
}

// forger sends from a veth or tap of a pod.
func (w *wired) forger(ns model.Netns, name string, own netip.Addr) *forger {
	w.t.Helper()
	pod, err := netns.OpenExact(ns)
	if err != nil {
		w.t.Fatal(err)
	}
	defer pod.Close()
	var link *net.Interface
	fd := -1
	err = pod.Do(func() (err error) {
		if link, err = net.InterfaceByName(name); err == nil {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = unix.Close(fd) })
	return &forger{
		t: w.t, name: name, space: "/proc/self/ns/net", own: own, settle: func() { w.mustRun(ns, "ping -n -c 5 -i 0.2 -W 2 -I "+name+" 10.1.1.1") }, mac: [6]byte(link.HardwareAddr), port: model.SwitchMAC("c1", name),
		send: func(frame []byte) {
			w.t.Helper()
			for {
				err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index})
				if err == nil {
					return
				}
				if err != unix.ENOBUFS { //nolint:errorlint // an errno
					w.t.Fatal(err)
				}
			}
		},
	}
}

func (app *application) forger() *forger {
	return &forger{
		t: app.t, name: "memif1", space: "/proc/self/ns/net", own: app.v6, mac: app.mac, port: app.port,
		send: func(frame []byte) {
			app.t.Helper()
			if _, err := app.Write(app.t.Context(), frame); err != nil {
				app.t.Fatal(err)
			}
		},
		settle: func() {
			app.send(broadcast, kindARP, app.arp(1, gateway4))
			app.receive("ARP reply", func(kind uint16, p []byte) bool {
				return kind == kindARP && p[7] == 2 && bytes.Equal(p[24:28], app.v4.AsSlice())
			})
		},
	}
}

// TestForgedAddressesTeachNothing: a pod that speaks in the name of thousands
// fills no neighbour table, which the whole machine shares; whatever the
// machine's own setting of rp_filter.
func TestForgedAddressesTeachNothing(t *testing.T) {
	for _, filter := range []string{"0", "2"} { // 2: by whatever way the source can be reached
		t.Run("rp_filter "+filter, func(t *testing.T) {
			w := newWired(t)
			w.elsewhere(filter)
			pod := w.add(1)
			w.floods(w.forger(pod, "eth0", netip.MustParseAddr("fd10:1:0:1::11")), 0)
			w.floods(w.forger(pod, "tap1", netip.MustParseAddr("fd10:1:0:1::12")), 0)
			stub := w.forger(pod, "veth1", netip.MustParseAddr("fd10:1:0:1::13"))
			stub.space, stub.settle = filepath.Join(w.dir, "netns", "stub"), func() {}
			w.floods(stub, 0)
			w.mustRun(pod, "ip neigh del 10.1.1.1 dev eth0; "+ping+"10.1.1.1") // in its own name it is answered
		})
		t.Run("rp_filter "+filter+", memif", func(t *testing.T) {
			w := newWired(t)
			w.elsewhere(filter)
			app := w.memif()
			w.floods(app.forger(), 4) // its own two, and two link-local ones
			if m := w.told(app); m.RxDenied < 4*strangers {
				t.Errorf("told %+v, want it to count what was denied", m)
			}
		})
	}
}

// elsewhere has the node reach the made up addresses, not through pods, and sets
// the filter of all links.
func (w *wired) elsewhere(filter string) {
	w.t.Helper()
	const all = "/proc/sys/net/ipv4/conf/all/rp_filter"
	before, err := os.ReadFile(all)
	if err == nil {
		err = os.WriteFile(all, []byte(filter), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = os.WriteFile(all, before, 0o600)
		_ = exec.Command("ip", "link", "del", "elsewhere").Run()
	})
	out, err := exec.CommandContext(w.t.Context(), "sh", "-c",
		"ip link add elsewhere type bridge && ip link set elsewhere up && ip route add 198.18.0.0/15 dev elsewhere").CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

// floods forges in every way, and expects the node to have learned of so many at
// the most.
func (w *wired) floods(f *forger, most int) {
	w.t.Helper()
	space, err := netns.Open(f.space)
	if err != nil {
		w.t.Fatal(err)
	}
	defer space.Close()
	handle, err := nl.Open(space)
	if err != nil {
		w.t.Fatal(err)
	}
	defer handle.Close()
	port, err := handle.LinkByName(w.driver.PortName(desired.Owner{ContainerID: "c1", IfName: "eth0"}, f.name))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, forge := range forgeries {
		for n := range strangers {
			f.send(forge(f, n))
		}
		f.settle()
		neighbors, err := handle.NeighList(port.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			w.t.Fatal(err)
		}
		known := slices.DeleteFunc(neighbors, func(n netlink.Neigh) bool { return n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 })
		if len(known) > most {
			w.t.Errorf("%s, %s: the node knows %d neighbours, such as %s", f.name, name, len(known), known[0].IP)
		}
	}
}

// What a sysctl service or a person makes of the settings that keep pods from
// speaking in others' names is found, and undone.
func TestFiltersAreMissed(t *testing.T) {
	w := newWired(t)
	objects := w.objects(1, w.pod(), model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
	owner := objects[0].Key().Owner
	w.apply(owner, objects)
	want := desired.NewSet(objects...)
	for _, name := range []string{"eth0", "tap1"} {
		for setting, value := range map[string]string{"rp_filter": "2", "arp_filter": "0"} {
			path := filepath.Join("/proc/sys/net/ipv4/conf", w.driver.PortName(owner, name), setting)
			if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := w.driver.Observe(t.Context(), dataplane.Scope{Want: want})
			changes := desired.Diff(found, want)
			others := slices.ContainsFunc(changes, func(c desired.Change) bool { return c.Interface() != name })
			if err != nil || len(changes) == 0 || others {
				t.Errorf("%s of %s: missed are %v, %v", setting, name, changes, err)
			}
			w.driver.Apply(t.Context(), []dataplane.Work{{Owner: owner, Changes: changes}}, func(_ desired.Owner, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			if now, err := os.ReadFile(path); err != nil || string(now) != "1\n" {
				t.Errorf("%s of %s is %s, %v", setting, name, now, err)
			}
		}
	}
	if found, err := w.driver.Observe(t.Context(), dataplane.Scope{Want: want}); err != nil || len(desired.Diff(found, want)) > 0 {
		t.Errorf("afterwards there is\n%s, %v", found, err)
	}
}
