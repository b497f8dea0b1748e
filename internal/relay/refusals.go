// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/memif"
)

// inNetns refuses processes outside of the network namespace with that inode.
// Which process connected says the kernel (SO_PEERCRED); that it is still that
// one when its namespace has been looked at says its pidfd.
func inNetns(inode uint64) func(memif.Candidate) error {
	return func(c memif.Candidate) error {
		if c.PID == 0 {
			return errors.New("it is not visible from here: the relay must share the node's PID namespace (hostPID)")
		}
		var st unix.Stat_t
		err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", c.PID), &st)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH), c.PIDFD >= 0 && ended(c.PIDFD):
			return fmt.Errorf("%w: the process has ended", memif.ErrPeerGone)
		case err != nil:
			return fmt.Errorf("its network namespace: %w", err)
		case st.Ino != inode:
			return errors.New("it is in another network namespace than the pod's")
		}
		return nil
	}
}

// ended reports whether the process of a pidfd has ended (pidfd_open(2)).
func ended(pidfd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return n != 0 || err != nil
		}
	}
}

// maxTold bounds how many processes of one socket are told of. All are counted.
const maxTold = 32

// refusals are about the processes that a socket did not connect, or cut off.
type refusals struct {
	notify func(relayapi.Event)
	log    *slog.Logger

	mu    sync.Mutex
	ports map[uint32]string // by memif id
	cut   map[memif.Reason]uint64
	told  []offence
	last  string
}

// offence is what is told of once.
type offence struct {
	pid    int
	port   string
	reason memif.Reason
}

func (r *refusals) known(id uint32, port string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ports == nil {
		r.ports = map[uint32]string{}
	}
	r.ports[id] = port
}

func (r *refusals) unknown(id uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ports, id)
}

// refused takes note of a process that was not connected.
func (r *refusals) refused(f memif.Refusal) {
	r.tell(f, "")
}

// disconnected takes note of a process that was connected, if it offended.
func (r *refusals) disconnected(id uint32, peer memif.Peer, err error) {
	innocent := []memif.Reason{memif.ErrClosed, memif.ErrPeerGone, memif.ErrDisconnected, memif.ErrResources}
	var reason memif.Reason
	if !errors.As(err, &reason) || slices.Contains(innocent, reason) {
		return
	}
	r.mu.Lock()
	r.cut[reason]++
	r.mu.Unlock()
	r.tell(memif.Refusal{Peer: peer, ID: id, Err: err}, "cut off: ")
}

// tell tells of a process once per reason.
func (r *refusals) tell(f memif.Refusal, what string) {
	var reason memif.Reason
	if !errors.As(f.Err, &reason) || reason == memif.ErrClosed {
		return
	}
	text := fmt.Sprintf("process %d (uid %d): %s%v", f.Peer.PID, f.Peer.UID, what, f.Err)
	if f.Peer.Application != "" {
		text = fmt.Sprintf("process %d (uid %d, %q): %s%v", f.Peer.PID, f.Peer.UID, f.Peer.Application, what, f.Err)
	}
	if errors.Is(f.Err, memif.ErrUnsealed) {
		text += " (memif.acceptUnsealed in the agent's configuration lets it in)"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = text
	o := offence{f.Peer.PID, r.port(f.ID), reason}
	if len(r.told) == maxTold || slices.Contains(r.told, o) {
		return
	}
	r.told = append(r.told, o)
	r.log.Warn("an application was refused", slog.String("port", o.port), slog.String("reason", text))
	r.notify(relayapi.Event{Kind: relayapi.EventPeerRefused, ID: o.port, Reason: text})
}

// port is the one that was meant, or, if none was, one of the socket's.
func (r *refusals) port(id uint32) string {
	if port, ok := r.ports[id]; ok {
		return port
	}
	var least string
	for _, port := range r.ports {
		if least == "" || port < least {
			least = port
		}
	}
	return least
}

// addTo adds those that were cut off to those that were not connected, and gives
// the words about the last of both.
func (r *refusals) addTo(counts map[memif.Reason]uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for reason, n := range r.cut {
		counts[reason] += n
	}
	return r.last
}
