// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package podif is the grammar of the pod annotation contivpp.io/custom-if:
//
//	contivpp.io/custom-if: tap1/tap, veth1/veth/stub, memif1/memif/l3net
//
// a comma separated list of NAME/TYPE[/NETWORK]. It parses, prints and
// validates; it does no I/O and depends on the standard library alone, so that
// other tools (admission, linters, operators) can import it. Nothing in it
// changes after it was made: everything is safe for concurrent use.
package podif

// The pod annotations that polynic reads. Keys are exact: a key that only
// begins like one of these is not taken (and reported as a near miss).
const (
	// CustomIfAnnotation lists the custom interfaces of a pod.
	CustomIfAnnotation = "contivpp.io/custom-if"
	// MicroserviceLabelAnnotation is the label of the ligato agent in the pod.
	MicroserviceLabelAnnotation = "contivpp.io/microservice-label"
	// ServiceEndpointIfAnnotation names the custom interface that serves the
	// pod's Kubernetes services.
	ServiceEndpointIfAnnotation = "contivpp.io/service-endpoint-if"
)

// NetworkStatusAnnotation lists the interfaces that a pod has, as the Network
// Plumbing Working Group's multi-network specification 1.3 says in section 5.
// Polynic writes it.
const NetworkStatusAnnotation = "k8s.v1.cni.cncf.io/network-status"

// MemifResource is the resource of which a container that uses memif interfaces
// has as many in its limits.
const MemifResource = "contivpp.io/memif"

// The networks with a meaning of their own.
const (
	// DefaultNetwork is the pod network; an absent third part means it.
	DefaultNetwork = "default"
	// StubNetwork leaves the interface unattached, without address.
	StubNetwork = "stub"
)

// MaxInterfaces is how many custom interfaces a pod may have. Whoever makes a pod
// could otherwise have the node make a thousand links at once.
const MaxInterfaces = 64

// The bounds of the grammar, in bytes.
const (
	// MaxNameLen is the longest interface name Linux takes (IFNAMSIZ-1).
	MaxNameLen = 15
	// MaxNetworkLen is the longest name of a Kubernetes object (RFC 1123
	// subdomain).
	MaxNetworkLen = 253
	// MaxValueLen is the longest annotation value that is read: room for
	// MaxInterfaces in networks with long names.
	MaxValueLen = 16 << 10
	// MaxLabelLen is the longest microservice label.
	MaxLabelLen = 253
)
