// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/polynic/polynic/internal/relay/nswatch"
	"github.com/polynic/polynic/internal/relay/pump"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/tap"
)

// port is a tap, its twin and the lanes between them. Guarded by the table's
// mutex.
type port struct {
	// The inodes are those of the namespaces that the devices were found in.
	relayapi.TapPort
	reason    error // why it is not attached; nil while it is
	pod, twin *tap.Device
	in, out   []*pump.Lane // from and to the pod, one per queue
	watches   []*nswatch.Watch
}

// opener opens one device of a port: tap.Create or tap.Attach.
type opener func(relayapi.Link, int) (*tap.Device, error)

// open opens both devices. What was made is removed again if the other fails.
func (p *port) open(device opener) error {
	var err error
	if p.pod, err = device(p.Pod, p.Queues); err != nil {
		return err
	}
	if p.twin, err = device(p.Twin, p.Queues); err == nil {
		err = errors.Join(p.pod.Persist(), p.twin.Persist())
	}
	if err != nil {
		return errors.Join(err, p.discard())
	}
	p.Pod.Inode, p.Twin.Inode = p.pod.Inode(), p.twin.Inode()
	return nil
}

// is reports whether the port is as wanted, whatever inode a zero one stands
// for.
func (p *port) is(want relayapi.TapPort) bool {
	want.Pod.Inode = cmp.Or(want.Pod.Inode, p.Pod.Inode)
	want.Twin.Inode = cmp.Or(want.Twin.Inode, p.Twin.Inode)
	return p.TapPort == want
}

// start watches the namespaces and moves frames. failed is called from workers
// and from the watcher, and must not wait for anything.
func (p *port) start(parts parts, failed func(error)) error {
	for _, link := range []relayapi.Link{p.Pod, p.Twin} {
		if link.Netns == "" {
			continue
		}
		watch, err := parts.namespaces.Add(link.Netns, link.Inode, func(err error) {
			failed(fmt.Errorf("%s: %w", link.Name, err))
		})
		if err != nil {
			return fmt.Errorf("%s: %w", link.Name, err)
		}
		p.watches = append(p.watches, watch)
	}
	twins := p.twin.Queues()
	for i, queue := range p.pod.Queues() {
		lanes, err := parts.pump.Join(queue, twins[i], failed)
		p.in, p.out = append(p.in, lanes[0]), append(p.out, lanes[1])
		if err != nil {
			return fmt.Errorf("%s: %w", p.Pod, err)
		}
	}
	return nil
}

// stop ends what start began; afterwards nothing touches the files.
func (p *port) stop(parts parts) {
	for _, w := range p.watches {
		parts.namespaces.Remove(w)
	}
	parts.pump.Remove(slices.Concat(p.in, p.out)...)
	p.watches = nil
}

// close closes the files and leaves the devices.
func (p *port) close() error {
	return errors.Join(each(p.pod, (*tap.Device).Close), each(p.twin, (*tap.Device).Close))
}

// discard closes the files and removes what open made.
func (p *port) discard() error {
	return errors.Join(each(p.pod, (*tap.Device).Discard), each(p.twin, (*tap.Device).Discard))
}

func each(d *tap.Device, end func(*tap.Device) error) error {
	if d == nil {
		return nil
	}
	return end(d)
}

// check asks the kernel whether both devices are there.
func (p *port) check() error { return errors.Join(p.pod.Check(), p.twin.Check()) }

func (p *port) state() relayapi.PortState {
	s := relayapi.PortState{TapPort: p.TapPort, Attached: p.reason == nil}
	if p.reason != nil {
		s.Reason = p.reason.Error()
	}
	for _, l := range p.in {
		stats := l.Stats()
		s.RxFrames += stats.Frames
		s.RxBytes += stats.Bytes
		s.Drops += stats.Drops
	}
	for _, l := range p.out {
		stats := l.Stats()
		s.TxFrames += stats.Frames
		s.TxBytes += stats.Bytes
		s.Drops += stats.Drops
	}
	return s
}
