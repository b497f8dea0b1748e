// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package attach is the pod path: what happens between a CNI request and its
// answer. Each verb has a file of its own; all of them change what is asked for
// and let the reconciler make it so.
package attach

import (
	"net/netip"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Request is one CNI request, decoded and checked for form.
type Request struct {
	ID model.AttachmentID
	// NetnsPath is CNI_NETNS; empty where the runtime has none (DEL).
	NetnsPath string
	// Network is the name of the CNI network configuration.
	Network string
	// Pod is from CNI_ARGS (K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID);
	// unknown where a runtime without pods calls.
	Pod model.PodRef
}

// Result is what ADD answers: every interface of the attachment, the one that
// the runtime asked for first.
type Result struct {
	Interfaces []ResultInterface
	// NetnsPath is the sandbox of every interface.
	NetnsPath string
}

// ResultInterface is one interface of a Result.
type ResultInterface struct {
	Name      string
	Type      podif.Type
	Network   string
	MAC       model.MAC
	MTU       int
	Addresses []netip.Prefix
	// Gateways is set on the main interface only, one per family, because
	// runtimes take the first gateway they see for the default.
	Gateways []netip.Addr
	// Routes are those of the main routing table.
	Routes []ResultRoute
	// SocketPath is set on a memif: the socket's path in the container. So is
	// Memif, which says the rest.
	SocketPath string
	Memif      *model.Memif
}

// ResultRoute is one route of a ResultInterface; Via may be the zero value.
type ResultRoute struct {
	Dst netip.Prefix
	Via netip.Addr
}
