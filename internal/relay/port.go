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

// port is what the table holds: a device, until it is of no more use. Guarded by
// the table's mutex.
type port struct {
	device
	id     string
	reason error // why it is not attached; nil while it is
}

// device is what is attached: a tapPort, a switchedTap or a memifPort.
type device interface {
	// open makes or finds what the port is made of, and moves frames; or leaves
	// nothing behind. failed may be called from any goroutine, more than once, and
	// waits for nothing.
	open(device opener, failed func(error)) error
	// check reports what is not there any more.
	check() error
	// close stops, closes the files and leaves the kernel's devices; discard
	// removes those that open made.
	close() error
	discard() error
	record() record
}

// tapDevice is a device whose pod has a tap: a tapPort or a switchedTap.
type tapDevice interface {
	device
	is(want relayapi.TapPort) bool
	state(reason error) relayapi.PortState
}

// tapDevice is what a port is made of.
func (p parts) tapDevice(port relayapi.TapPort) tapDevice {
	if port.Switch != (relayapi.MemifPeer{}) {
		return &switchedTap{TapPort: port, parts: p}
	}
	return &tapPort{TapPort: port, parts: p}
}

// opener opens one tap of a port: tap.Create or tap.Attach.
type opener func(relayapi.Link, int) (*tap.Device, error)

// tapPort is a tap, its twin and the lanes between them.
type tapPort struct {
	// The inodes are those of the namespaces that the devices were found in.
	relayapi.TapPort
	parts     parts
	pod, twin *tap.Device
	in, out   []*pump.Lane // from and to the pod, one per queue
	watches   []*nswatch.Watch
}

// open opens both devices. What was made is removed again if the other fails.
func (p *tapPort) open(device opener, failed func(error)) error {
	var err error
	if p.pod, err = device(p.Pod, p.Queues); err != nil {
		return err
	}
	if p.twin, err = device(p.Twin, p.Queues); err == nil {
		err = errors.Join(p.pod.Persist(), p.twin.Persist())
	}
	if err == nil {
		p.Pod.Inode, p.Twin.Inode = p.pod.Inode(), p.twin.Inode()
		err = p.start(failed)
	}
	if err != nil {
		return errors.Join(err, p.discard())
	}
	return nil
}

// is reports whether the port is as wanted, whatever inode a zero one stands
// for.
func (p *tapPort) is(want relayapi.TapPort) bool {
	want.Pod.Inode = cmp.Or(want.Pod.Inode, p.Pod.Inode)
	want.Twin.Inode = cmp.Or(want.Twin.Inode, p.Twin.Inode)
	return p.TapPort == want
}

// start watches the namespaces and moves frames.
func (p *tapPort) start(failed func(error)) error {
	for _, link := range []relayapi.Link{p.Pod, p.Twin} {
		watch, err := p.parts.watch(link, failed)
		if err != nil {
			return err
		}
		p.watches = append(p.watches, watch...)
	}
	twins := p.twin.Queues()
	for i, queue := range p.pod.Queues() {
		lanes, err := p.parts.pump.Join(queue, twins[i], failed)
		p.in, p.out = append(p.in, lanes[0]), append(p.out, lanes[1])
		if err != nil {
			return fmt.Errorf("%s: %w", p.Pod, err)
		}
	}
	return nil
}

// watch watches the namespace of a link, if it is not the relay's own.
func (p parts) watch(link relayapi.Link, failed func(error)) ([]*nswatch.Watch, error) {
	if link.Netns == "" {
		return nil, nil
	}
	watch, err := p.namespaces.Add(link.Netns, link.Inode, func(err error) {
		failed(fmt.Errorf("%s: %w", link.Name, err))
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", link.Name, err)
	}
	return []*nswatch.Watch{watch}, nil
}

// stop ends what start began; afterwards nothing touches the files.
func (p *tapPort) stop() {
	for _, w := range p.watches {
		p.parts.namespaces.Remove(w)
	}
	p.parts.pump.Remove(slices.Concat(p.in, p.out)...)
	p.watches = nil
}

func (p *tapPort) close() error {
	p.stop()
	return errors.Join(each(p.pod, (*tap.Device).Close), each(p.twin, (*tap.Device).Close))
}

func (p *tapPort) discard() error {
	p.stop()
	return errors.Join(each(p.pod, (*tap.Device).Discard), each(p.twin, (*tap.Device).Discard))
}

func each(d *tap.Device, end func(*tap.Device) error) error {
	if d == nil {
		return nil
	}
	return end(d)
}

// check asks the kernel whether both devices are there.
func (p *tapPort) check() error { return errors.Join(p.pod.Check(), p.twin.Check()) }

func (p *tapPort) record() record { return record{Version: recordVersion, Port: &p.TapPort} }

func (p *tapPort) state(reason error) relayapi.PortState {
	s := relayapi.PortState{TapPort: p.TapPort, Attached: reason == nil}
	if reason != nil {
		s.Reason = reason.Error()
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
