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
}

// MemifContainer is a container of a pod that asks for memif devices.
type MemifContainer struct {
	Name string
	// Folder is where the allocation's folder is on the node.
	Folder string
	MemifAllocation
}

// MemifGrant is one memif interface of a pod and the container whose socket
// serves it.
type MemifGrant struct {
	// Interface is the name in the annotation.
	Interface string
	// ID is the interface's on the socket.
	ID        uint32
	Container MemifContainer
}
