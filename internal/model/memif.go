// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

// MemifAllocation is what kubelet was given for one container that asks for
// memif devices: a folder, which the container sees at /run/vpp, and the secret
// of the socket in it.
type MemifAllocation struct {
	// ID is the name of the folder.
	ID string
	// Devices are the ids of the devices that it was given for, sorted. Kubelet
	// gives a device to another container once the first is gone, so of several
	// allocations with one device the newest counts.
	Devices []string
	Secret  Secret
	// Given is when, in microseconds since 1970; zero for one of an agent that did not
	// write it down.
	Given int64
}

// MemifContainer is a container of a pod that asks for memif devices.
type MemifContainer struct {
	Name string
	// Folder is where the allocation's folder is on the node.
	Folder string
	MemifAllocation
}

// Memif is what a memif interface has beside the others: where an application
// connects to it.
type Memif struct {
	// ID is the interface's on the socket.
	ID uint32 `json:"id"`
	// Container is the name of the container whose socket serves it, empty where
	// that was lost with the journal.
	Container string `json:"container,omitempty"`
	// Allocation is the id of the container's allocation, and Folder where its
	// folder is on the node.
	Allocation string `json:"allocation"`
	Folder     string `json:"folder"`
	// AcceptUnsealed lets in applications that could take their memory away.
	AcceptUnsealed bool `json:"acceptUnsealed,omitempty"`
	// Secret is the allocation's, of which the journal has a record of its own.
	Secret Secret `json:"-"`
}

// MemifStatus is how a memif interface fares. Packets count from when the relay
// took the interface up, over all connections.
type MemifStatus struct {
	// Application is the one that is connected, nil where none is.
	Application *MemifApplication `json:"application"`
	// Rx is from the application, Tx to it. Drops are packets that the other side
	// did not take, TxDrops also those for an application that is not connected.
	// RxDenied are packets of more link-local addresses than it may have.
	RxPackets uint64 `json:"rxPackets"`
	RxBytes   uint64 `json:"rxBytes"`
	RxErrors  uint64 `json:"rxErrors"`
	RxDrops   uint64 `json:"rxDrops"`
	RxDenied  uint64 `json:"rxDenied"`
	TxPackets uint64 `json:"txPackets"`
	TxBytes   uint64 `json:"txBytes"`
	TxErrors  uint64 `json:"txErrors"`
	TxDrops   uint64 `json:"txDrops"`
	// Connects counts connections, and Ends by their reasons those that are over;
	// LastEnd is the last of these in full.
	Connects uint64            `json:"connects"`
	Ends     map[string]uint64 `json:"ends,omitempty"`
	LastEnd  string            `json:"lastEnd,omitempty"`
	// Refused counts by their reasons the attempts that the socket did not
	// connect, and the connections that it cut off because the application
	// offended against the protocol, of this interface or others of the container;
	// LastRefused is the last in full, with the process.
	Refused     map[string]uint64 `json:"refused,omitempty"`
	LastRefused string            `json:"lastRefused,omitempty"`
}

// MemifApplication is who is connected to a memif interface.
type MemifApplication struct {
	// PID, UID and GID are the process's, as the node sees it, at the time that it
	// connected.
	PID int `json:"pid"`
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Name, with its version, and Interface are its own words.
	Name      string `json:"name"`
	Interface string `json:"interface"`
	// RxQueues are from the application, TxQueues to it, each a ring of RingSize
	// slots.
	RxQueues int `json:"rxQueues"`
	TxQueues int `json:"txQueues"`
	RingSize int `json:"ringSize"`
}

// Refusal is an error about what a pod asks for that waiting does not help
// against.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }
