// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/internal/relay/tap"
)

// openPorts opens the kernel's part for a switch that is not the kernel. The relay
// has the taps' files, or, without it, the switch.
func (l *lab) openPorts(peer func(desired.Tap) relayapi.MemifPeer) (*linux.Driver, error) {
	return linux.NewPorts(linux.Config{
		Log: slog.New(slog.DiscardHandler), Relay: l.relay, PodNetnsDir: l.podNetns, TapPeer: peer,
	})
}

// peer is where the relay finds a switch, that is not there, for a tap.
func (l *lab) peer(t desired.Tap) relayapi.MemifPeer {
	id := fnv.New32()
	fmt.Fprint(id, t.Owner, t.Pod.Name)
	return relayapi.MemifPeer{Socket: filepath.Join(l.dir, "taps.sock"), ID: id.Sum32(), RingSize: 512, MTU: t.MTU}
}

// beside is a driver whose switch is in memory, and has the kernel's part made.
type beside struct {
	kernel *linux.Driver
	memory *fake.Driver
	// ownTaps has the switch make taps in the pods.
	ownTaps bool
}

func isPort(k desired.Key) bool { return k.Kind == desired.KindVeth || k.Kind == desired.KindTap }

// has reports whether an object is one that the switch alone can have removed.
func (b *beside) has(k desired.Key) bool { return b.ownTaps && k.Kind == desired.KindTap }

func (b *beside) Observe(ctx context.Context, scope dataplane.Scope) (desired.Set, error) {
	found, err := b.kernel.Observe(ctx, scope)
	if err != nil {
		return nil, err
	}
	rest, err := b.memory.Observe(ctx, scope)
	maps.DeleteFunc(found, func(k desired.Key, _ desired.Object) bool { return b.has(k) && rest[k] == nil })
	maps.DeleteFunc(rest, func(k desired.Key, _ desired.Object) bool {
		_, wanted := scope.Want[k]
		return isPort(k) && (wanted || !b.has(k))
	})
	maps.Copy(found, rest)
	return found, err
}

func (b *beside) Apply(ctx context.Context, work []dataplane.Work, done func(desired.Owner, error)) {
	var kernel []dataplane.Work
	for _, w := range work {
		ports := dataplane.Work{Owner: w.Owner}
		for _, c := range w.Changes {
			if isPort(c.Key()) {
				ports.Changes = append(ports.Changes, c)
				b.makeTap(c)
			}
		}
		kernel = append(kernel, ports)
	}
	var mu sync.Mutex
	failed := map[desired.Owner]error{}
	b.kernel.Apply(ctx, kernel, func(o desired.Owner, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed[o] = err
	})
	b.memory.Apply(ctx, work, func(o desired.Owner, err error) { done(o, errors.Join(failed[o], err)) })
}

// makeTap makes the device as a switch does that has its file; what goes wrong the
// kernel's part notices.
func (b *beside) makeTap(c desired.Change) {
	want, ok := c.New.(desired.Tap)
	if !ok || !b.ownTaps {
		return
	}
	device, err := tap.Create(relayapi.Link{Netns: want.Pod.Netns.Path, Inode: want.Pod.Netns.Inode, Name: want.Pod.Name, MAC: want.Pod.MAC}, want.Queues)
	if err == nil {
		_ = errors.Join(device.Persist(), device.Close())
	}
}

func (b *beside) Reap(ctx context.Context) (map[desired.Owner]error, error) {
	left, err := b.kernel.Reap(ctx)
	_, fakeErr := b.memory.Reap(ctx)
	return left, errors.Join(err, fakeErr)
}

func (b *beside) Watch(ctx context.Context, report func(dataplane.Hit)) error {
	return b.kernel.Watch(ctx, report)
}

func (b *beside) Close() error { return b.kernel.Close() }

// TestContractBesideASwitch: with a switch that does its part, a driver of NewPorts
// is as good as one that switches.
func TestContractBesideASwitch(t *testing.T) {
	for _, ownTaps := range []bool{false, true} {
		t.Run(fmt.Sprint("the switch has the taps ", ownTaps), func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Harness {
				t.Helper()
				l := newLab(t)
				memory := fake.New()
				return drivertest.Harness{
					Open: func() (dataplane.Driver, error) {
						peer := l.peer
						if ownTaps {
							peer = nil
						}
						kernel, err := l.openPorts(peer)
						return &beside{kernel: kernel, memory: memory, ownTaps: ownTaps}, err
					},
					Pod:      l.pod,
					Folder:   t.TempDir,
					Kill:     l.kill,
					Jam:      l.jam,
					Occupy:   l.occupy,
					Occupied: l.occupied,
				}
			})
		})
	}
}
