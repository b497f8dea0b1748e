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
	case s.RingSize < minRing || s.RingSize > maxRing || bits.OnesCount(uint(s.RingSize)) != 1:
		return fmt.Errorf("rings of %d slots: must be a power of 2 from %d to %d", s.RingSize, minRing, maxRing)
	case s.Pod.Path == "" && s.Pod.Inode != 0:
		return errors.New("the pod's network namespace has an inode but no path")
	case s.Pod.Path != "":
		return validateNetns(s.Pod.Path)
	}
	return nil
}

func text(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// MemifState is a memif port as the relay has it. Its Secret is left out.
type MemifState struct {
	MemifPort
	// Attached is false once the folder, the socket in it, a device or a namespace
	// went away; Reason then says what happened, and what follows is zero.
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty"`
	// Application is the one that is connected, nil if none is.
	Application *MemifApplication `json:"application,omitempty"`
	// Rx is from the application, Tx to it: packets on the rings. They count over
	// all connections since the attach.
	RxPackets uint64 `json:"rxPackets"`
	RxBytes   uint64 `json:"rxBytes"`
	TxPackets uint64 `json:"txPackets"`
	TxBytes   uint64 `json:"txBytes"`
	// RxErrors were too long or empty. TxFull counts the times that a ring had no
	// room.
	RxErrors uint64 `json:"rxErrors"`
	// RxDenied are packets that LinkLocal keeps from the twin.
	RxDenied uint64 `json:"rxDenied"`
	TxErrors uint64 `json:"txErrors"`
	TxFull   uint64 `json:"txFull"`
	// TwinRx is from the twin, TwinTx to it: frames, each of one packet or many.
	// Drops are packets and frames that the twin, or the application, did not
	// take.
	TwinRx  uint64 `json:"twinRx"`
	TwinTx  uint64 `json:"twinTx"`
	RxDrops uint64 `json:"rxDrops"`
	TxDrops uint64 `json:"txDrops"`
	// Connects counts connections, and Ends by their reasons those that are over;
	// LastEnd is the last of these in full.
	Connects uint64            `json:"connects"`
	Ends     map[string]uint64 `json:"ends,omitempty"`
	LastEnd  string            `json:"lastEnd,omitempty"`
	// Refused counts by their reasons the processes that the socket did not
	// connect, or cut off because they offended against the protocol, for this port
	// or others. LastRefused is the last in full.
	Refused     map[string]uint64 `json:"refused,omitempty"`
	LastRefused string            `json:"lastRefused,omitempty"`
}

// MemifApplication is who is connected to a memif.
type MemifApplication struct {
	// PID, UID and GID are the process's at the time that it connected.
	PID int `json:"pid"`
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Name, with its version, and Interface are its own words.
	Name      string `json:"name"`
	Interface string `json:"interface"`
	RxQueues  int    `json:"rxQueues"`
	TxQueues  int    `json:"txQueues"`
	RingSize  int    `json:"ringSize"`
}
