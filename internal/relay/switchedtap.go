// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/relay/nswatch"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/rings"
	"github.com/polynic/polynic/internal/relay/tap"
	"github.com/polynic/polynic/memif"
)

// switchPatience is how long a full ring of the switch is waited for. It may have to
// wait for its processor longer than an application that answers for itself alone,
// and meanwhile the kernel holds the pod's senders back.
const switchPatience = 200 * time.Millisecond

// switchedTap is a tap whose frames go to a switch, and come from there, through a
// memif of which the switch is the master. Its carrier is up while the relay has its
// file, whether the switch is there or not: as with a twin, and with a tap that a
// switch holds itself, the pod's routes and neighbours outlive the switch.
type switchedTap struct {
	// The inode is that of the namespace that the device was found in.
	relayapi.TapPort
	parts   parts
	pod     *tap.Device
	watches []*nswatch.Watch

	ifc      *memif.Interface
	pump     *rings.Twin
	moving   sync.WaitGroup
	stopMove context.CancelFunc
}

// open opens the device, and leaves it to the memif to find the switch.
func (p *switchedTap) open(device opener, failed func(error)) error {
	var err error
	if p.pod, err = device(p.Pod, p.Queues); err != nil {
		return err
	}
	p.Pod.Inode = p.pod.Inode()
	if err = p.pod.Persist(); err == nil {
		err = p.start(failed)
	}
	if err != nil {
		return errors.Join(err, p.discard())
	}
	return nil
}

// start watches the namespace and moves packets.
func (p *switchedTap) start(failed func(error)) error {
	var err error
	if p.watches, err = p.parts.watch(p.Pod, failed); err != nil {
		return err
	}
	longest := p.Switch.MTU + headers
	p.ifc, err = memif.Dial(p.Switch.Socket, memif.Config{
		ID: p.Switch.ID, Secret: memif.Secret(p.Switch.Secret), Name: p.Pod.Name, Application: "polynic",
		QueuePairs: p.Queues, RingSize: p.Switch.RingSize, MaxPacket: longest, BusyPoll: busyPoll,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p.Pod, err)
	}
	p.pump = rings.NewTwin(rings.TwinConfig{
		Interface: p.ifc, Queues: p.pod.Queues(), MaxPacket: longest, Mode: memif.Ethernet, Patience: switchPatience,
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.stopMove = cancel
	p.moving.Go(func() {
		if err := p.pump.Run(ctx); err != nil {
			failed(fmt.Errorf("%s: %w", p.Pod, err))
		}
	})
	return nil
}

// stop ends what start began; afterwards nothing touches the files.
func (p *switchedTap) stop() error {
	for _, w := range p.watches {
		p.parts.namespaces.Remove(w)
	}
	p.watches = nil
	if p.stopMove != nil {
		p.stopMove()
	}
	p.moving.Wait()
	if p.ifc == nil {
		return nil
	}
	return p.ifc.Close()
}

func (p *switchedTap) close() error { return errors.Join(p.stop(), each(p.pod, (*tap.Device).Close)) }

func (p *switchedTap) discard() error {
	return errors.Join(p.stop(), each(p.pod, (*tap.Device).Discard))
}

// check asks the kernel whether the device is there.
func (p *switchedTap) check() error { return p.pod.Check() }

// is is as tapPort's.
func (p *switchedTap) is(want relayapi.TapPort) bool {
	want.Pod.Inode = cmp.Or(want.Pod.Inode, p.Pod.Inode)
	return p.TapPort == want
}

func (p *switchedTap) record() record { return record{Version: recordVersion, Port: &p.TapPort} }

func (p *switchedTap) state(reason error) relayapi.PortState {
	s := relayapi.PortState{TapPort: p.TapPort, Attached: reason == nil}
	s.Switch.Secret = ""
	if reason != nil {
		s.Reason = reason.Error()
	}
	if p.ifc == nil { // it could not be attached again
		return s
	}
	i, moved := p.ifc.Status(), p.pump.Stats()
	s.RxFrames, s.RxBytes = i.Tx.Packets, i.Tx.Bytes
	s.TxFrames, s.TxBytes = i.Rx.Packets, i.Rx.Bytes
	s.Drops = moved.DropsIn + moved.DropsOut + i.Rx.TooLong + i.Rx.Empty + i.Tx.TooLong + i.Tx.Empty
	s.Link = &relayapi.SwitchLink{Connected: i.Connected, Connects: i.Connects}
	if i.LastEnd != nil {
		s.Link.LastEnd = i.LastEnd.Error()
	}
	if i.Connected {
		s.Link.Switch, s.Link.Interface = i.Peer.Application, i.Peer.Interface
		s.Link.Queues, s.Link.RingSize = min(i.RxQueues, i.TxQueues), i.RingSize
	}
	return s
}
