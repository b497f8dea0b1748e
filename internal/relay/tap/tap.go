// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package tap makes persistent tap devices inside network namespaces and opens
// their queues. Frames carry a virtio_net_hdr, so the kernel hands over bulk
// traffic in frames of up to 64 KiB with checksums left to be filled in.
package tap

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// Device is an open tap device. Its files keep its namespace alive.
type Device struct {
	link    relayapi.Link
	inode   uint64
	queues  []Queue
	created bool
}

// Create opens the device's queues, making the device if it is missing. One
// that was made goes away again with Close unless Persist was called. The error
// wraps relayapi.ErrNetnsGone or relayapi.ErrTaken where they apply.
func Create(link relayapi.Link, queues int) (*Device, error) {
	return open(link, func(d *Device, ns *netns.Handle) error {
		err := d.enter(ns, queues, unix.IFF_TUN_EXCL)
		if errors.Is(err, unix.EBUSY) {
			return d.attach(ns, queues)
		}
		if err != nil {
			return err
		}
		d.created = true
		if link.MAC.IsZero() {
			return nil
		}
		return d.queues[0].setMAC(link.MAC)
	})
}

// Attach opens the queues of a device that is there already; the error wraps
// ErrGone where it is not, or as Create's.
func Attach(link relayapi.Link, queues int) (*Device, error) {
	return open(link, func(d *Device, ns *netns.Handle) error {
		return d.attach(ns, queues)
	})
}

func open(link relayapi.Link, use func(*Device, *netns.Handle) error) (*Device, error) {
	ns, err := openNetns(link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", link.Name, err)
	}
	d := &Device{link: link, inode: ns.Inode()}
	err = errors.Join(use(d, ns), ns.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", link, err), d.closeFiles())
	}
	return d, nil
}

func openNetns(link relayapi.Link) (*netns.Handle, error) {
	switch {
	case link.Netns == "":
		return netns.Own()
	case link.Inode == 0:
		return netns.Open(link.Netns)
	default:
		return netns.OpenExact(model.Netns{Path: link.Netns, Inode: link.Inode})
	}
}

// Inode identifies the namespace of the device.
func (d *Device) Inode() uint64 { return d.inode }

// Queues gives the open queues; they are closed by Close.
func (d *Device) Queues() []Queue { return d.queues }

// Persist makes the device outlive its files (TUNSETPERSIST).
func (d *Device) Persist() error {
	if err := unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("%s: make it persistent: %w", d.link, err)
	}
	return nil
}

// Check asks the kernel whether the device is still there, under its name.
func (d *Device) Check() error {
	for _, q := range d.queues {
		name, _, err := q.look()
		switch {
		case errors.Is(err, unix.EBADFD):
			err = ErrGone
		case err == nil && name != d.link.Name:
			err = fmt.Errorf("%w: it was renamed to %s", ErrGone, name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.link, err)
		}
	}
	return nil
}

// Close closes the files. A persistent device stays, without carrier; one that
// somebody renamed goes, because nobody would find it again.
func (d *Device) Close() error {
	var err error
	if len(d.queues) > 0 {
		if name, _, lookErr := d.queues[0].look(); lookErr == nil && name != d.link.Name {
			err = unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETPERSIST, 0)
		}
	}
	if err = errors.Join(err, d.closeFiles()); err != nil {
		return fmt.Errorf("%s: %w", d.link, err)
	}
	return nil
}

// Discard closes the files and removes the device if Create made it.
func (d *Device) Discard() error {
	var err error
	if d.created && len(d.queues) > 0 {
		err = unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETPERSIST, 0)
	}
	if errors.Is(err, unix.EBADFD) {
		err = nil // somebody else removed it
	}
	return errors.Join(err, d.Close())
}

func (d *Device) closeFiles() error {
	var errs []error
	for _, q := range d.queues {
		errs = append(errs, unix.Close(q.fd))
	}
	d.queues = nil
	return errors.Join(errs...)
}
