// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package inspect is the agent's read-only socket: what the agent has, what it
// wants and how it fares, as JSON over HTTP on a unix socket of mode 0600.
// Nothing can be changed through it. The JSON of an interface is a promise to
// programs: `polynic get interfaces -o json` prints it as it is.
package inspect

import (
	"context"
	"net/netip"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// View is what the server shows; the agent implements it. Every method may be
// called at any time from any goroutine, and returns soon, with a value that is
// not altered afterwards.
type View interface {
	// Interfaces lists the pod interfaces that exist, in any order. One on its
	// way out is listed until its addresses may be given to others. It waits, until
	// ctx ends, for an agent that does not know yet how they stand.
	Interfaces(ctx context.Context) []Interface
	// Plan is what the dataplane should have.
	Plan() desired.Set
	Status() Status
	// Services lists the services that there are, by namespace and name.
	Services() []Service
}

// State tells how a pod interface fares.
type State string

// The states of an interface.
const (
	// StateUp: made as planned.
	StateUp State = "up"
	// StateDown: planned, but not, or not wholly, there.
	StateDown State = "down"
	// StateLeaving: cut off; its links are being removed.
	StateLeaving State = "leaving"
)

// Interface is one pod interface. Every field is always there in the JSON.
type Interface struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	Name      string     `json:"interface"`
	Type      podif.Type `json:"type"`
	Network   string     `json:"network"`
	// IPs are the pod's own addresses, IPv4 before IPv6; [] when none.
	IPs []netip.Prefix `json:"ips"`
	// MAC is the pod's side.
	MAC model.MAC `json:"mac"`
	// MTU in bytes, without the Ethernet header.
	MTU   int   `json:"mtu"`
	State State `json:"state"`
	// Reason says why the State is down, or what is not known of the pod of an
	// interface that is up; empty otherwise.
	Reason string `json:"reason"`
	Node   string `json:"node"`
	// Port is the name of the switch's end.
	Port string `json:"port"`
	// Counters are what passed through it; null while the dataplane does not tell.
	Counters *model.Counters `json:"counters"`
	// Memif is null for other types.
	Memif *Memif `json:"memif"`
	// Published is null where the pod's own agent is told nothing of it.
	Published *Published `json:"published"`
}

// Published is how what a pod's own agent is told of an interface stands in etcd.
type Published struct {
	// Label is the agent's.
	Label string `json:"label"`
	// State is "published"; "pending" or "failing" while it is not there, or not
	// known to be; "absent" where no etcd is configured any more.
	State string `json:"state"`
	// Reason says why it is failing; empty otherwise.
	Reason string `json:"reason"`
}

// Memif is what a memif interface has beside the others. What the relay tells of
// it is zero while that is away.
type Memif struct {
	// ID and Socket are what an application in Container connects to: Socket is the
	// path there, of a file in Folder on the node.
	ID        uint32 `json:"id"`
	Socket    string `json:"socket"`
	Container string `json:"container"`
	Folder    string `json:"folder"`
	Connected bool   `json:"connected"`
	model.MemifStatus
}

// Status is how the agent fares.
type Status struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	// Ready: requests are served. Since is when that last changed.
	Ready bool      `json:"ready"`
	Since time.Time `json:"since"`
	// Withdrawn are pods that are gone and of which etcd still has keys; absent when
	// none.
	Withdrawn []Withdrawn `json:"withdrawn,omitempty"`
	// Problems are those that exist now; [] when none.
	Problems []Problem `json:"problems"`
	Counts   Counts    `json:"counts"`
	// Relay is null while the relay does not answer.
	Relay *Relay `json:"relay"`
}

// Relay is how the relay's worker fares, the process that holds taps and memifs.
type Relay struct {
	// Restarts counts how often it died and was started again since the relay was
	// started, each of which parts the applications at memifs; LastRestart is when
	// that was last, null where it was not.
	Restarts    int        `json:"restarts"`
	LastRestart *time.Time `json:"lastRestart"`
}

// Dataplane is the Object of the Problem that the dataplane, or a part of it,
// does not answer.
const Dataplane = "dataplane"

// Etcd is the Object of the Problem that etcd does not answer, or cannot be used.
const Etcd = "etcd"

// Withdrawn is a pod that is gone and of which etcd still has keys.
type Withdrawn struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Label     string `json:"label"`
}

// Problem is one thing that is not as it should be.
type Problem struct {
	// Object names what is concerned, for example an object of the plan.
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// Counts are sizes.
type Counts struct {
	Attachments int `json:"attachments"`
	Interfaces  int `json:"interfaces"`
	// Objects is the size of the plan.
	Objects int `json:"objects"`
}
