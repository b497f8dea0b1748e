// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package model holds the nouns of what is asked for: pods, the sandboxes that
// the container runtime attached, and the addresses they were given. It knows
// neither Kubernetes types nor a dataplane, does no I/O and has no clock.
package model

import (
	"net/netip"

	"github.com/polynic/polynic/api/podif"
)

// The two networks that always exist. Every other name is a CustomNetwork.
const (
	// DefaultNetwork is the pod network: routed, with an address per interface.
	DefaultNetwork = podif.DefaultNetwork
	// StubNetwork attaches an interface to nothing until a chain takes it.
	StubNetwork = podif.StubNetwork
)

// PodRef names one pod. UID may be empty where the source does not know it
// (a runtime that passes no K8S_POD_UID).
type PodRef struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// String renders the pod as people write it: namespace/name.
func (p PodRef) String() string {
	if p.Name == "" {
		return "(no pod)"
	}
	return p.Namespace + "/" + p.Name
}

// Known reports whether the reference names a pod at all.
func (p PodRef) Known() bool { return p.Name != "" }

// SameName reports whether both references name the same namespace and name,
// whatever their UIDs.
func (p PodRef) SameName(o PodRef) bool {
	return p.Namespace == o.Namespace && p.Name == o.Name
}

// Pod is what a pod asks for, parsed once at the edge.
type Pod struct {
	Ref PodRef
	// ObjectUID is the UID of the pod's object in the cluster where that is not the
	// one that kubelet and the runtime know it by (Ref.UID); else it is empty.
	ObjectUID string
	// Request lists the custom interfaces in annotation order.
	Request podif.Request
	// Problems holds what was found wrong with the annotations, warnings
	// included; a pod with an error among them is refused at ADD.
	Problems podif.Problems
	// MicroserviceLabel is the label of the ligato agent in the pod, and
	// ServiceEndpointIf the custom interface that serves its services; empty
	// for none.
	MicroserviceLabel string
	ServiceEndpointIf string
	// NetworkStatus is of the annotation that lists the interfaces that it has, as
	// the cluster knows it.
	NetworkStatus Digest
	// Addresses are those that the cluster says it has. They are told where one pod is
	// asked for, and not where pods are followed.
	Addresses []netip.Addr
	// OfFile is set where a manifest is all that is known of it, which has no addresses.
	OfFile bool
}

// Node is what the cluster says of the node that an agent is on.
type Node struct {
	// PodRanges are the ranges of its pods, in no order of families; none where the
	// cluster leaves that to others.
	PodRanges []netip.Prefix
	// ID numbers its share of the pod network; 0 where it has no number.
	ID int
}

// AttachmentID is the key of one CNI attachment: the runtime's container id
// and the interface name it asked for (CNI_IFNAME). Everything polynic makes
// for a pod is keyed by it, never by the pod's name.
type AttachmentID struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// String renders container id and interface, the form used as mark on kernel
// objects: CONTAINERID/IFNAME.
func (a AttachmentID) String() string { return a.ContainerID + "/" + a.IfName }

// MainInterface is the name of a pod's main interface: every container runtime
// asks for it by this one.
const MainInterface = "eth0"

// Main reports whether the runtime asked for the pod's main interface, and not,
// by way of another plugin such as Multus, for one more.
func (a AttachmentID) Main() bool { return a.IfName == MainInterface }

// IsZero reports whether the id is unset.
func (a AttachmentID) IsZero() bool { return a == AttachmentID{} }

// Netns identifies a network namespace: the path under which the runtime keeps
// it, and the inode behind that path, because a path can come to mean another
// namespace after the first one is gone.
type Netns struct {
	Path  string `json:"path"`
	Inode uint64 `json:"inode"`
}

// Interface is one interface of an attachment, with what was allocated to it.
type Interface struct {
	Name    string     `json:"name"`
	Type    podif.Type `json:"type"`
	Network string     `json:"network"`
	// Addresses are the interface's own, IPv4 before IPv6, at most one of
	// each; none on stub and L2 networks.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Queues is the number of queue pairs of a tap, or of a memif's twin.
	Queues int `json:"queues,omitempty"`
	// Memif is set on a memif.
	Memif *Memif `json:"memif,omitempty"`
	// ServiceEndpoint is set where the pod's services are served at this interface,
	// and not at the main one.
	ServiceEndpoint bool `json:"serviceEndpoint,omitempty"`
}

// Attachment is one sandbox as the runtime attached it, frozen at ADD: later
// edits of the pod's annotations or of the agent's settings do not change it.
// It is the journal's record.
type Attachment struct {
	ID AttachmentID `json:"id"`
	// Network is the name of the CNI network configuration that attached it;
	// GC touches only attachments of the same one.
	Network string `json:"network"`
	Pod     PodRef `json:"pod"`
	Netns   Netns  `json:"netns"`
	// MTU of every interface, in bytes.
	MTU int `json:"mtu"`
	// Interfaces holds the interface the runtime asked for first, then the
	// custom ones in annotation order.
	Interfaces []Interface `json:"interfaces"`
	// MicroserviceLabel is that of the pod's own agent, for which the custom
	// interfaces are published in etcd; empty where they are not.
	MicroserviceLabel string `json:"microserviceLabel,omitempty"`
	// NameOnly is set where the sandbox was read off the dataplane and nothing shows
	// that it is the pod's that has the name now: neither that one's UID nor its label
	// is the sandbox's.
	NameOnly bool `json:"nameOnly,omitempty"`
	// Leaving is set once DEL was accepted: the addresses stay taken until the
	// last link is gone.
	Leaving bool `json:"leaving,omitempty"`
}

// Addresses lists every address of the attachment.
func (a Attachment) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, i := range a.Interfaces {
		all = append(all, i.Addresses...)
	}
	return all
}
