// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

const inUse = "another port or process has it open"

// attach opens the queues of a device that is there and that nobody else has
// open. TUNSETIFF alone would make a missing device, and would share a
// multi-queue one with whoever has a queue of it already.
func (d *Device) attach(ns *netns.Handle, queues int) error {
	if err := d.closeFiles(); err != nil {
		return err
	}
	if err := d.inspect(ns, queues); err != nil {
		return err
	}
	err := d.enter(ns, queues, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: %s", relayapi.ErrTaken, inUse)
	}
	if err != nil {
		return err
	}
	_, flags, err := d.queues[0].look()
	if err == nil && flags&unix.IFF_PERSIST == 0 {
		return ErrGone // vanished after inspect: this one is new, and goes again
	}
	return err
}

// inspect reports why the device cannot be attached.
func (d *Device) inspect(ns *netns.Handle, queues int) error {
	handle, err := nl.Open(ns)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(d.link.Name)
	var notFound netlink.LinkNotFoundError
	if errors.As(err, &notFound) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("look at the device: %w", err)
	}
	if problem := unfit(link, queues); problem != "" {
		return fmt.Errorf("%w: %s", relayapi.ErrTaken, problem)
	}
	return nil
}

func unfit(link netlink.Link, queues int) string {
	tun, ok := link.(*netlink.Tuntap)
	multiQueue := ok && tun.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	switch {
	case !ok:
		return "a device of type " + link.Type() + " has it"
	case tun.Mode != netlink.TUNTAP_MODE_TAP:
		return "a tun device has it"
	case tun.Queues+tun.DisabledQueues > 0:
		return inUse
	case tun.NonPersist:
		return "a tap that is not persistent has it"
	case multiQueue && queues == 1:
		return "a tap with several queues has it, and 1 is wanted"
	case !multiQueue && queues > 1:
		return fmt.Sprintf("a tap with 1 queue has it, and %d are wanted", queues)
	default:
		return ""
	}
}
