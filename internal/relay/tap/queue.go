// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/pump"
)

// Queue is one queue pair of a device; a pump.End.
type Queue struct{ fd int }

// FD implements pump.End.
func (q Queue) FD() int { return q.fd }

// Read implements pump.End.
func (q Queue) Read(frame []byte) (int, error) { return unix.Read(q.fd, frame) }

// Write implements pump.End.
func (q Queue) Write(frame []byte) error {
	_, err := unix.Write(q.fd, frame)
	return err
}

// Dup gives another file of the queue, for who wants to wait in the runtime's
// poller; the caller closes it.
func (q Queue) Dup() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the file of a tap: %w", err)
	}
	return os.NewFile(uintptr(fd), "tap"), nil // non-blocking, as the queue is
}

// look gives the name that the device has now, and its IFF_ flags; EBADFD where
// it is gone.
func (q Queue) look() (name string, flags uint16, err error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(q.fd, unix.TUNGETIFF, request); err != nil {
		return "", 0, err
	}
	return request.Name(), request.Uint16(), nil
}

// setMAC gives the device an address (SIOCSIFHWADDR, which a tap takes on its
// file).
func (q Queue) setMAC(mac model.MAC) error {
	request := struct { // struct ifreq with ifr_hwaddr
		name    [unix.IFNAMSIZ]byte
		family  uint16
		address [22]byte
	}{family: unix.ARPHRD_ETHER}
	copy(request.address[:], mac[:])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(q.fd), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("set MAC %s: %w", mac, errno)
	}
	return nil
}

// enter opens the queues from inside the namespace, where the kernel looks for
// the device of a TUNSETIFF. On error the queues opened so far are left for the
// caller to close.
func (d *Device) enter(ns *netns.Handle, queues int, extra uint16) error {
	return ns.Do(func() error {
		for range queues {
			if err := d.addQueue(kind(queues) | extra); err != nil {
				return err
			}
			extra = 0
		}
		return configure(d.queues[0].fd)
	})
}

// kind gives the flags of a device. IFF_MULTI_QUEUE is set only where it is
// needed: such a device always has 256 queues in the kernel, each with a
// queueing discipline once the device is up, which costs 6 MiB and 10 ms.
func kind(queues int) uint16 {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	return flags
}

func (d *Device) addQueue(flags uint16) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	d.queues = append(d.queues, Queue{fd})
	request, err := unix.NewIfreq(d.link.Name)
	if err != nil {
		return err
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	return nil
}

const (
	baseOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	usoOffloads  = unix.TUN_F_USO4 | unix.TUN_F_USO6
)

// configure sets what is common to all queues. Which offloads the device gets
// depends on the kernel alone, so both sides of a port have the same.
func configure(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, pump.HeaderLen); err != nil {
		return fmt.Errorf("header length: %w", err)
	}
	err := setOffloads(func(bits int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, bits) })
	if err != nil {
		return fmt.Errorf("offloads: %w", err)
	}
	// A device without an owner may be opened by any user of its namespace.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, 0); err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	return nil
}

// setOffloads leaves out USO on kernels before 6.2, which do not know it.
func setOffloads(set func(bits int) error) error {
	err := set(baseOffloads | usoOffloads)
	if errors.Is(err, unix.EINVAL) {
		return set(baseOffloads)
	}
	return err
}
