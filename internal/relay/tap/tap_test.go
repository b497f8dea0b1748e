// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package tap_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relaytest"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/test/need"
)

func newSpace(t *testing.T) *relaytest.Space {
	t.Helper()
	need.Tun(t)
	return relaytest.NewSpace(t)
}

func TestDeviceGoesWithItsFilesUntilItIsPersistent(t *testing.T) {
	s := newSpace(t)
	for _, queues := range []int{1, 4} {
		d, err := tap.Create(s.Link("tap1"), queues)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Queues()) != queues || d.Inode() != s.Inode() || d.Check() != nil {
			t.Errorf("device %+v, check %v", d, d.Check())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if s.Has(t, "tap1") {
			t.Error("the device outlived its files")
		}
	}
	d, err := tap.Create(s.Link("tap1"), 1)
	if err := errors.Join(err, d.Persist(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if !s.Has(t, "tap1") {
		t.Error("the persistent device is gone")
	}
}

// The device has its MAC from the beginning; one that is there keeps its own.
func TestMACIsGivenAtBirth(t *testing.T) {
	s := newSpace(t)
	link := s.Link("tap1")
	link.MAC = model.MAC{2, 0xfe, 1, 2, 3, 4}
	made, err := tap.Create(link, 1)
	if err := errors.Join(err, made.Persist(), made.Close()); err != nil {
		t.Fatal(err)
	}
	link.MAC[5]++
	found, err := tap.Create(link, 1)
	if err := errors.Join(err, found.Close()); err != nil {
		t.Fatal(err)
	}
	if got := s.Device(t, "tap1").Attrs().HardwareAddr.String(); got != "02:fe:01:02:03:04" {
		t.Errorf("MAC %s", got)
	}
}

func TestDiscardRemovesWhatCreateMade(t *testing.T) {
	s := newSpace(t)
	made, err := tap.Create(s.Link("tap1"), 1)
	if err := errors.Join(err, made.Persist(), made.Discard()); err != nil {
		t.Fatal(err)
	}
	if s.Has(t, "tap1") {
		t.Error("the device is still there")
	}
	kept, err := tap.Create(s.Link("tap2"), 1)
	if err := errors.Join(err, kept.Persist(), kept.Close()); err != nil {
		t.Fatal(err)
	}
	found, err := tap.Create(s.Link("tap2"), 1)
	if err := errors.Join(err, found.Persist(), found.Discard()); err != nil {
		t.Fatal(err)
	}
	if !s.Has(t, "tap2") {
		t.Error("a device that was there before is gone")
	}
}

func TestAttachMakesNothing(t *testing.T) {
	s := newSpace(t)
	if d, err := tap.Attach(s.Link("tap1"), 1); !errors.Is(err, tap.ErrGone) {
		t.Errorf("attached %v, %v; want ErrGone", d, err)
	}
	if s.Has(t, "tap1") {
		t.Error("a device was made")
	}
}

func TestCheckNoticesRemoval(t *testing.T) {
	s := newSpace(t)
	d, err := tap.Create(s.Link("tap1"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.NL.LinkDel(s.Device(t, "tap1")); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); !errors.Is(err, tap.ErrGone) {
		t.Errorf("check: %v, want ErrGone", err)
	}
	if err := d.Discard(); err != nil {
		t.Errorf("discard: %v", err)
	}
}

// TestOffloads: what the sender may leave to be done is the same on a new
// device and on one whose offloads somebody switched off before.
func TestOffloads(t *testing.T) {
	s := newSpace(t)
	ethtool := need.Command(t, need.Kernel, "ethtool")
	features := func() (on []string) {
		t.Helper()
		var out []byte
		err := s.Do(func() (err error) {
			out, err = exec.CommandContext(t.Context(), ethtool, "-k", "tap1").CombinedOutput()
			return err
		})
		if err != nil {
			t.Fatalf("ethtool: %v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			name, state, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if strings.HasPrefix(state, "on") && (strings.HasSuffix(name, "segmentation") || name == "tx-checksum-ip-generic") {
				on = append(on, name)
			}
		}
		return on
	}
	d, err := tap.Create(s.Link("tap1"), 1)
	if err := errors.Join(err, d.Persist()); err != nil {
		t.Fatal(err)
	}
	want := []string{"tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-udp-segmentation"}
	if diff := cmp.Diff(want, features()); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if err := unix.IoctlSetInt(d.Queues()[0].FD(), unix.TUNSETOFFLOAD, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = tap.Attach(s.Link("tap1"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if diff := cmp.Diff(want, features()); diff != "" {
		t.Errorf("features after the second attach (-want +got):\n%s", diff)
	}
}

// TestOtherUsersAreKeptOut: a process of the pod that can reach /dev/net/tun
// but lacks CAP_NET_ADMIN must not get at the device while the relay is away,
// nor share one with several queues.
func TestOtherUsersAreKeptOut(t *testing.T) {
	s := newSpace(t)
	for _, queues := range []int{1, 2} {
		d, err := tap.Create(s.Link("tap1"), queues)
		if err := errors.Join(err, d.Persist()); err != nil {
			t.Fatal(err)
		}
		if queues == 1 {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		err = s.Do(func() error { return attachAsNobody("tap1", queues) })
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%d queues: %v, want EPERM", queues, err)
		}
		if err := errors.Join(d.Close(), s.NL.LinkDel(s.Device(t, "tap1"))); err != nil {
			t.Fatal(err)
		}
	}
}

// attachAsNobody changes the user of its thread alone, and changes it back.
func attachAsNobody(name string, queues int) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	request.SetUint16(flags)
	const keep, nobody = ^uintptr(0), 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, nobody, keep); errno != 0 {
		return errno
	}
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); errno != 0 {
		return errno
	}
	return err
}

func TestInterfacesOfOtherKinds(t *testing.T) {
	s := newSpace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "veth0"
	if err := s.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "veth1"}); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func() (*tap.Device, error){
		func() (*tap.Device, error) { return tap.Create(s.Link("veth0"), 1) },
		func() (*tap.Device, error) { return tap.Attach(s.Link("veth0"), 1) },
	} {
		_, err := open()
		want := "veth0 in " + s.Path + ": the device name is taken: a device of type veth has it"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
