// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"log/slog"
	"sync"

	interfaces "go.fd.io/govpp/binapi/interface"
	"go.fd.io/govpp/binapi/interface_types"

	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
)

// sleeper has VPP wait for packets at memifs rather than poll, for which it would take
// a whole processor, whether packets come or not. VPP polls a memif after each connect,
// and forgets what it was told before.
type sleeper struct {
	mu   sync.Mutex // guards list
	list []ifIndex  // of those that have just been connected
	more chan struct{}
}

func newSleeper() *sleeper { return &sleeper{more: make(chan struct{}, 1)} }

// linked takes an interface that has just been connected, of whatever type. It does
// not wait.
func (s *sleeper) linked(i ifIndex) {
	s.mu.Lock()
	s.list = append(s.list, i)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *sleeper) take() []ifIndex {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// putToSleep does so for memifs as they are connected, until ctx ends.
func (d *Driver) putToSleep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.sleeper.more:
		}
		k, conn := d.knownNow()
		if k == nil {
			continue
		}
		if err := waitAtMemifs(ctx, conn, d.sleeper.take()); err != nil && ctx.Err() == nil {
			d.log.DebugContext(ctx, "VPP polls a memif", slog.Any("error", err)) // that VPP is away is told by others
		}
	}
}

// waitAtMemifs does so at those of the interfaces that are memifs of ours.
func waitAtMemifs(ctx context.Context, conn *vppapi.Conn, list []ifIndex) error {
	v := &view{ifs: map[ifIndex]*iface{}, tags: map[string]*iface{}}
	var dumps, b vppapi.Batch
	for _, i := range list {
		vppapi.Dump(&dumps, &interfaces.SwInterfaceDump{SwIfIndex: i}, v.addInterface)
	}
	if err := conn.Do(ctx, &dumps); err != nil {
		return err
	}
	for _, i := range v.ifs {
		if _, _, isPort := parseTag(i.tag); isPort && i.dev == memifDev {
			onInterrupt(&b, i.index)
		}
	}
	return conn.Do(ctx, &b)
}

// onInterrupt has VPP look at an interface when something comes.
func onInterrupt(b *vppapi.Batch, i ifIndex) {
	b.Call(&interfaces.SwInterfaceSetRxMode{SwIfIndex: i, Mode: interface_types.RX_MODE_API_INTERRUPT}, &interfaces.SwInterfaceSetRxModeReply{}).
		OnError(func(err error) error {
			if isGone(err) {
				return nil
			}
			return say(err, "have interface %d wait for packets", i)
		})
}
