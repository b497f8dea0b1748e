// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/polynic/polynic/internal/model"
)

// Bounds of what a MemifPort may say.
const (
	maxFolder  = 1024 // bytes
	maxSocket  = 64   // bytes
	maxSecret  = 23   // bytes, as other implementations carry
	minMTU     = 68   // RFC 791
	maxMTU     = 65535 - 14 - 8
	minRing    = 2
	maxRing    = 1 << 14
	maxQueuing = 256
)

// Secret is what an application must know to be connected. It is carried by
// messages and records, and shown by nothing else: package fmt writes "hidden".
type Secret string

// Format says, for every verb, whether there is a secret.
func (s Secret) Format(f fmt.State, _ rune) {
	text := "hidden"
	if s == "" {
		text = "none"
	}
	_, _ = io.WriteString(f, text)
}

// MemifMode is what a memif carries.
type MemifMode string

// The modes.
const (
	MemifEthernet MemifMode = "ethernet"
	MemifIP       MemifMode = "ip"
)

// MemifSocket is a socket in the private folder of a container, which the pod
// can write to. Ports that name the same one share it, and say the same of it.
type MemifSocket struct {
	// Folder is the absolute path of the folder, which must be there; Name is a
	// plain file name in it. Whatever has the name is replaced.
	Folder string `json:"folder"`
	Name   string `json:"name"`
	// Pod is the network namespace that the processes of applications must be in;
	// with an empty path any may connect. Inode 0 takes the namespace that is
	// there at the time of the Attach.
	Pod model.Netns `json:"pod,omitzero"`
	// QueuePairs, 1 to 256, and RingSize, a power of 2 from 2 to 16384 slots, are
	// the most that an application gets.
	QueuePairs int `json:"queuePairs"`
	RingSize   int `json:"ringSize"`
}

// MemifPort is a memif of which the relay is the master, and where its packets
// go: to a twin in the kernel, to another memif, or, if neither is said, nowhere
// yet.
type MemifPort struct {
	// ID is the caller's, as TapPort.ID, and of another value than those.
	ID     string      `json:"id"`
	Socket MemifSocket `json:"socket"`
	// Memif tells apart the memifs of one socket.
	Memif  uint32    `json:"memif"`
	Secret Secret    `json:"secret,omitempty"`
	Mode   MemifMode `json:"mode"`
	// MTU bounds IP packets, in bytes; longer ones from the application are
	// dropped. That of the twin is the caller's to set.
	MTU int `json:"mtu"`
	// AcceptUnsealed lets in applications that could take their memory away, such
	// as DPDK in zero-copy mode.
	AcceptUnsealed bool `json:"acceptUnsealed,omitempty"`
	// Twin is a tap that packets are moved to and from; its name is empty if there
	// is none. Queues is how many it has, as TapPort.Queues.
	Twin   Link `json:"twin,omitzero"`
	Queues int  `json:"queues,omitempty"`
	// LinkLocal is the IPv6 link-local address that the kernel has on the twin. If it
	// is set, the application is kept from filling the kernel's table of neighbours:
	// it has two link-local addresses of its own at a time, each for a minute at
	// least, reaches no other, and its frames have no VLAN tags.
	LinkLocal netip.Addr `json:"linkLocal,omitzero"`
	// MAC is the application's for the kernel. In mode IP, where it must be set
	// as that of the twin must, it is in every frame; else it is not looked at.
	MAC model.MAC `json:"mac,omitzero"`
	// Peer is the ID of the memif port that this one is connected with. Packets
	// flow when both name each other; an application that is connected stays so
	// when that, or the twin, changes.
	Peer string `json:"peer,omitempty"`
}

// Validate reports what is malformed.
func (p MemifPort) Validate() error {
	if err := validateID(p.ID); err != nil {
		return err
	}
	errs := []error{p.Socket.validate()}
	bad := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(len(p.Secret) > maxSecret, "the secret has %d bytes: must be at most %d", len(p.Secret), maxSecret)
	bad(p.Mode != MemifEthernet && p.Mode != MemifIP, "mode %q: must be %s or %s", p.Mode, MemifEthernet, MemifIP)
	bad(p.MTU < minMTU || p.MTU > maxMTU, "MTU %d: must be %d to %d", p.MTU, minMTU, maxMTU)
	bad(p.Twin.Name != "" && p.Peer != "", "a twin and a peer: must be one of them")
	bad(p.Peer == p.ID, "it cannot be its own peer")
	bad(len(p.Peer) > maxID || !utf8.ValidString(p.Peer), "peer %q: must be at most %d bytes of text", p.Peer, maxID)
	bad(p.LinkLocal.IsValid() && (!p.LinkLocal.Is6() || p.LinkLocal.Is4In6() || !p.LinkLocal.IsLinkLocalUnicast() || p.LinkLocal.Zone() != ""),
		"link-local address %s: must be one of IPv6, without a zone", p.LinkLocal)
	if p.Twin != (Link{}) {
		errs = append(errs, p.Twin.validate())
		bad(p.Queues < 1 || p.Queues > MaxQueues, "%d queues: must be 1 to %d", p.Queues, MaxQueues)
		bad(p.Mode == MemifIP && (p.MAC.IsZero() || p.Twin.MAC.IsZero()), "mode %s with a twin needs the MAC of both", MemifIP)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("port %s: %w", p.ID, err)
	}
	return nil
}

func (s MemifSocket) validate() error {
	switch {
	case len(s.Folder) > maxFolder || filepath.Clean(s.Folder) != s.Folder || !filepath.IsAbs(s.Folder) || !text(s.Folder):
		return fmt.Errorf("folder %q: must be a clean absolute path of at most %d bytes", s.Folder, maxFolder)
	case s.Name == "" || s.Name == "." || s.Name == ".." || len(s.Name) > maxSocket || strings.ContainsRune(s.Name, '/') || !text(s.Name):
		return fmt.Errorf("socket %q: must be a file name of at most %d bytes", s.Name, maxSocket)
	case s.QueuePairs < 1 || s.QueuePairs > maxQueuing:
		return fmt.Errorf("%d queue pairs: must be 1 to %d", s.QueuePairs, maxQueuing)
	case !isRing(s.RingSize):
		return fmt.Errorf("rings of %d slots: must be a power of 2 from %d to %d", s.RingSize, minRing, maxRing)
	case s.Pod.Path == "" && s.Pod.Inode != 0:
		return errors.New("the pod's network namespace has an inode but no path")
	case s.Pod.Path != "":
		return validateNetns(s.Pod.Path)
	}
	return nil
}

func text(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// MemifPeer is a memif whose master is another process, a switch on this node that
// is trusted. The relay connects to it, in mode ethernet, as soon as it can and
// again whenever the connection has ended.
type MemifPeer struct {
	// Socket is the absolute path of the switch's socket; it may come and go.
	Socket string `json:"socket"`
	// ID tells apart the memifs of one socket.
	ID     uint32 `json:"id"`
	Secret Secret `json:"secret,omitempty"`
	// RingSize, in slots, as MemifSocket.RingSize, is asked for; the switch may
	// give less.
	RingSize int `json:"ringSize"`
	// MTU bounds IP packets, in bytes, as MemifPort.MTU: longer ones from the
	// switch are dropped.
	MTU int `json:"mtu"`
}

// maxSocketPath is the longest path of a unix socket (unix(7)), without its final
// zero.
const maxSocketPath = 107

func (p MemifPeer) validate() error {
	switch {
	case p.Socket == "" || len(p.Socket) > maxSocketPath || filepath.Clean(p.Socket) != p.Socket || !filepath.IsAbs(p.Socket) || !text(p.Socket):
		return fmt.Errorf("switch's socket %q: must be a clean absolute path of at most %d bytes", p.Socket, maxSocketPath)
	case len(p.Secret) > maxSecret:
		return fmt.Errorf("switch's secret has %d bytes: must be at most %d", len(p.Secret), maxSecret)
	case !isRing(p.RingSize):
		return fmt.Errorf("rings of %d slots: must be a power of 2 from %d to %d", p.RingSize, minRing, maxRing)
	case p.MTU < minMTU || p.MTU > maxMTU:
		return fmt.Errorf("MTU %d: must be %d to %d", p.MTU, minMTU, maxMTU)
	}
	return nil
}

func isRing(slots int) bool {
	return slots >= minRing && slots <= maxRing && bits.OnesCount(uint(slots)) == 1
}

// MemifState is a memif port as the relay has it. Its Secret is left out.
type MemifState struct {
	MemifPort
	// Attached is false once the folder, the socket in it, a device or a namespace
	// went away; Reason then says what happened, and what follows is zero.
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty"`
	// Rx is from the application, Tx to it. Where the relay moves packets between
	// memif and twin, drops are packets and frames that the twin, or the
	// application, did not take.
	model.MemifStatus
	// TxFull counts the times that a ring had no room.
	TxFull uint64 `json:"txFull"`
	// TwinRx is from the twin, TwinTx to it: frames, each of one packet or many.
	TwinRx uint64 `json:"twinRx"`
	TwinTx uint64 `json:"twinTx"`
}
