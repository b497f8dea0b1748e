// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memif"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// socketDir, in the run folder, has VPP's memif sockets.
const (
	socketDir     = "vpp-memif"
	tapSocketName = "taps.sock"
	// maxSocketPath is the longest path of a unix socket (unix(7)).
	maxSocketPath = 107
)

// errNoSecret is about a memif that was found, and whose allocation is unknown.
const errNoSecret = model.Refusal("its secret was lost with the agent's journal (delete the pod, so that it gets another)")

// tapSocket is the one that the relay finds all taps on.
func (d *Driver) tapSocket() string { return filepath.Join(d.config.RunDir, socketDir, tapSocketName) }

// podSocket is the one of a container's memifs.
func (d *Driver) podSocket(folder string) string {
	sum := sha256.Sum256([]byte(folder))
	const digits = 16
	return filepath.Join(d.config.RunDir, socketDir, hex.EncodeToString(sum[:])[:digits]+".sock")
}

func (d *Driver) isOurSocket(path string) bool {
	return filepath.Dir(path) == filepath.Join(d.config.RunDir, socketDir)
}

// memifPort is a memif that VPP is to have, as the master.
type memifPort struct {
	socket, tag string
	id          uint32
	secret      string
	mac         model.MAC
	ring        int
}

func (d *Driver) memifOf(m desired.Memif) memifPort {
	return memifPort{
		socket: d.podSocket(m.Folder), tag: portTag(m.Owner, m.Pod.Name), id: m.ID, secret: m.Secret.Reveal(),
		mac: m.SwitchMAC, ring: m.RingSize,
	}
}

// memifOfTap is what the relay connects to for a tap. Its socket is root's.
func (d *Driver) memifOfTap(t desired.Tap) memifPort {
	return memifPort{
		socket: d.tapSocket(), tag: portTag(t.Owner, t.Pod.Name), id: tapID(t.Owner, t.Pod.Name),
		mac: t.SwitchMAC, ring: d.config.TapRingSize,
	}
}

// askMemif asks for a memif, and before that for its socket, unless VPP has that, or
// the batch asks for it already: to add one twice is no error.
func (k *known) askMemif(b *vppapi.Batch, p memifPort, reply *memif.MemifCreateV2Reply, asked map[string]bool) *vppapi.Request {
	socket, isThere := k.reserveSocket(p.socket)
	if !isThere && !asked[p.socket] {
		asked[p.socket] = true
		b.Call(&memif.MemifSocketFilenameAddDelV2{IsAdd: true, SocketID: socket, SocketFilename: p.socket}, &memif.MemifSocketFilenameAddDelV2Reply{}).
			OnError(func(err error) error {
				k.dropReservation(p.socket)
				return say(err, "memif socket %d, %s", socket, p.socket)
			})
	}
	return b.Call(&memif.MemifCreateV2{
		Role: memif.MEMIF_ROLE_API_MASTER, Mode: memif.MEMIF_MODE_API_ETHERNET, RxQueues: 1, TxQueues: 1,
		ID: p.id, SocketID: socket, RingSize: uint32(p.ring), HwAddr: macOf(p.mac), Secret: p.secret, //nolint:gosec // a ring is short
	}, reply)
}

// checkSockets refuses sockets that cannot be.
func checkSockets(ports []*port) error {
	for _, p := range ports {
		if p.memif != nil && len(p.memif.socket) > maxSocketPath {
			return named(p.Port, fmt.Errorf("memif socket %s: its path has %d bytes, and may have %d: choose a shorter run folder",
				p.memif.socket, len(p.memif.socket), maxSocketPath))
		}
	}
	return nil
}

// reserveSocket gives the number of a socket, and whether VPP has it for sure.
func (k *known) reserveSocket(path string) (id uint32, isThere bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.sockets[path]; ok {
		return known, !k.reserved[path]
	}
	k.reserved[path] = true
	k.sockets[path] = tapSocketID
	if filepath.Base(path) == tapSocketName {
		return tapSocketID, false
	}
	taken := map[uint32]bool{0: true} // VPP's own
	for _, known := range k.sockets {
		taken[known] = true
	}
	for id = 1; taken[id]; {
		id++
	}
	k.sockets[path] = id
	return id, false
}

// dropReservation has the number chosen anew.
func (k *known) dropReservation(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reserved[path] {
		delete(k.sockets, path)
		delete(k.reserved, path)
	}
}

// confirmSocket notes that VPP has a socket, as a memif is on it.
func (k *known) confirmSocket(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.reserved, path)
}

// tapSocketID is the number of the taps' socket. Those of pods count from 1, so that
// their memifs are called memif1/0 and so on; VPP would choose at random.
const tapSocketID = 1 << 20

func (k *known) socket(path string) (uint32, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.sockets[path]
	return id, ok
}

// dropSocket has VPP forget a socket, unless a memif is on it.
func (k *known) dropSocket(ctx context.Context, path string) (isDropped bool, err error) {
	id, ok := k.socket(path)
	if !ok {
		return true, nil
	}
	isDropped = true
	var b vppapi.Batch
	b.Call(&memif.MemifSocketFilenameAddDelV2{SocketID: id}, &memif.MemifSocketFilenameAddDelV2Reply{}).OnError(func(err error) error {
		if isVPP(err, api.UNEXPECTED_INTF_STATE) { // in use
			isDropped = false
			return nil
		}
		if isVPP(err, api.INVALID_ARGUMENT) { // unknown
			return nil
		}
		return say(err, "memif socket %s", path)
	})
	if err := k.conn.Do(ctx, &b); err != nil {
		return false, err
	}
	if isDropped {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.sockets, path)
		delete(k.reserved, path)
	}
	return isDropped, nil
}

func deleteMemif(b *vppapi.Batch, i ifIndex) {
	b.Call(&memif.MemifDelete{SwIfIndex: i}, &memif.MemifDeleteReply{}).OnError(func(err error) error {
		if isGone(err) {
			return nil
		}
		return say(err, "remove memif")
	})
}

// adoptMemif gives the memif that is there if it is as wanted. One of ours that is
// not goes.
func (k *known) adoptMemif(ctx context.Context, v *view, p memifPort) (*iface, error) {
	var i *iface
	for _, each := range v.ifs {
		if each.isMemif && each.socket == p.socket && each.id == p.id {
			i = each
		}
	}
	if i == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if i.tag != p.tag && i.tag != "" && i.mac != p.mac {
		return nil, fmt.Errorf("interface %s has the tag %q: %w: %w", i.name, i.tag, dataplane.ErrTaken, api.SUBIF_ALREADY_EXISTS)
	}
	if i.mac == p.mac {
		return i, nil
	}
	leave, err := k.gate.enter(ctx, toTurn)
	if err != nil {
		return nil, err
	}
	defer leave()
	var b vppapi.Batch
	k.uncheck(&b, i.index)
	deleteMemif(&b, i.index)
	k.countMemifs(-1)
	return nil, k.conn.Do(ctx, &b)
}
