// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package relayapi is how the rest of polynic talks to the relay: the nouns,
// the messages on its unix socket, and a client.
package relayapi

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/polynic/polynic/internal/model"
)

// Bounds of what a TapPort may say.
const (
	maxID    = 128  // bytes
	maxName  = 15   // bytes, IFNAMSIZ without its final zero
	maxNetns = 1024 // bytes
	// MaxQueues is the most queue pairs that a tap can have (MAX_TAP_QUEUES).
	MaxQueues = 256
)

// Link names a network device in a network namespace.
type Link struct {
	// Netns is the absolute path of the namespace; empty means the relay's own.
	Netns string `json:"netns,omitempty"`
	// Inode is that of the namespace the path must lead to; 0 takes whichever
	// is there at the time of the Attach.
	Inode uint64 `json:"inode,omitempty"`
	Name  string `json:"name"`
	// MAC is given to the device when it is made; the zero value leaves that to
	// the kernel. One that is there keeps its own.
	MAC model.MAC `json:"mac,omitzero"`
}

// String renders the link as error messages do: NAME in NETNS.
func (l Link) String() string {
	if l.Netns == "" {
		return l.Name + " in the relay's namespace"
	}
	return l.Name + " in " + l.Netns
}

// TapPort is a pod's tap device and the twin, or the switch, that its frames are
// moved to and from.
type TapPort struct {
	// ID is the caller's, opaque to the relay, 1 to 128 bytes.
	ID  string `json:"id"`
	Pod Link   `json:"pod"`
	// Twin is a tap in the kernel; its name is empty if Switch is said instead.
	Twin Link `json:"twin"`
	// Switch is a memif whose master is another process, the switch.
	Switch MemifPeer `json:"switch,omitzero"`
	// Queues is the number of queue pairs of both devices, 1 to MaxQueues,
	// fixed when a device is made. A device with more than one costs the
	// kernel 6 MiB. Of a switch it is how many are asked for.
	Queues int `json:"queues"`
}

// Validate reports what is malformed.
func (p TapPort) Validate() error {
	if err := validateID(p.ID); err != nil {
		return err
	}
	other := p.Twin.validate
	if p.Switch != (MemifPeer{}) {
		other = p.Switch.validate
		if p.Twin != (Link{}) {
			return fmt.Errorf("port %s: a twin and a switch: must be one of them", p.ID)
		}
	}
	if err := errors.Join(p.Pod.validate(), other()); err != nil {
		return fmt.Errorf("port %s: %w", p.ID, err)
	}
	if p.Queues < 1 || p.Queues > MaxQueues {
		return fmt.Errorf("port %s: %d queues: must be 1 to %d", p.ID, p.Queues, MaxQueues)
	}
	if p.Pod.Netns == p.Twin.Netns && p.Pod.Name == p.Twin.Name {
		return fmt.Errorf("port %s: %s cannot be its own twin", p.ID, p.Pod)
	}
	return nil
}

func validateID(id string) error {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) {
		return fmt.Errorf("port id %q: must be 1 to %d bytes of text", id, maxID)
	}
	return nil
}

// validate accepts the names that dev_valid_name in the kernel does, less '%',
// which TUNSETIFF takes for the pattern of a name to be chosen.
func (l Link) validate() error {
	bad := func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '%' || r == utf8.RuneError }
	if l.Name == "" || len(l.Name) > maxName || l.Name == "." || l.Name == ".." || strings.ContainsFunc(l.Name, bad) {
		return fmt.Errorf("device name %q: must be 1 to %d bytes without space, '/', ':' and '%%'", l.Name, maxName)
	}
	if l.Netns == "" {
		return nil
	}
	return validateNetns(l.Netns)
}

func validateNetns(path string) error {
	if len(path) > maxNetns || filepath.Clean(path) != path || !filepath.IsAbs(path) || !text(path) {
		return fmt.Errorf("network namespace %q: must be a clean absolute path of at most %d bytes", path, maxNetns)
	}
	return nil
}

// PortState is a port as the relay has it.
type PortState struct {
	// The secret of its Switch is left out.
	TapPort
	// Attached is false once a device or namespace went away; Reason then says
	// what happened.
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty"`
	// Rx is from the pod, Tx to it. Bytes count Ethernet frames without the
	// header of the tap protocol; a frame may be up to 64 KiB long, to be cut by
	// whoever needs smaller ones. Those to and from a switch are cut. Counters start at zero with every attach.
	RxFrames uint64 `json:"rxFrames"`
	RxBytes  uint64 `json:"rxBytes"`
	TxFrames uint64 `json:"txFrames"`
	TxBytes  uint64 `json:"txBytes"`
	// Drops counts frames of both directions that the other device did not
	// take, for example because it is down, or the switch away.
	Drops uint64 `json:"drops"`
	// Link is how the switch fares; nil of a port with a twin.
	Link *SwitchLink `json:"link,omitempty"`
}

// SwitchLink is a port's connection with the switch. While there is none the port
// stays attached, and what the pod sends is dropped.
type SwitchLink struct {
	Connected bool `json:"connected"`
	// Switch and Interface are what the switch calls itself and its end.
	Switch    string `json:"switch,omitempty"`
	Interface string `json:"interface,omitempty"`
	// Queues and RingSize are what the switch gave.
	Queues   int `json:"queues,omitempty"`
	RingSize int `json:"ringSize,omitempty"`
	// Connects counts connections since the attach; LastEnd is why the last ended,
	// or there is none yet.
	Connects uint64 `json:"connects"`
	LastEnd  string `json:"lastEnd,omitempty"`
}

// WorkerState is what the relay tells of the process that serves.
type WorkerState struct {
	// Restarts counts how often it died and was started again, since the relay was
	// started itself; LastRestart is when that was last, to the second.
	Restarts    int       `json:"restarts"`
	LastRestart time.Time `json:"lastRestart,omitzero"`
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	// EventConnected: the relay answers. What it held before may have changed.
	EventConnected EventKind = "connected"
	// EventDisconnected: the relay went away, or hangs.
	EventDisconnected EventKind = "disconnected"
	// EventPortFailed: a port was closed because a device or a namespace of it
	// is gone.
	EventPortFailed EventKind = "port-failed"
	// EventPeerRefused: a process was not connected to the socket of a memif
	// port, or was cut off because it offended against the protocol. Who comes again
	// for the same reason is told of once.
	EventPeerRefused EventKind = "peer-refused"
)

// Event is something that happened without being asked for.
type Event struct {
	Kind EventKind `json:"kind"`
	// ID and Reason are set on EventPortFailed and EventPeerRefused.
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason,omitempty"`
}
