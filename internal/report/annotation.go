// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// element is one interface in the annotation podif.NetworkStatusAnnotation. Keys with a period are ours, as
// section 5.3 of the specification has it; mtu and gateway are not in its text,
// and in what the group's own library writes.
type element struct {
	Name      string       `json:"name"`
	Interface string       `json:"interface"`
	IPs       []netip.Addr `json:"ips,omitempty"`
	MAC       string       `json:"mac,omitempty"`
	MTU       int          `json:"mtu,omitempty"`
	Default   bool         `json:"default"`
	DNS       struct{}     `json:"dns"`
	Device    *device      `json:"device-info,omitempty"`
	Gateways  []netip.Addr `json:"gateway,omitempty"`

	Type      podif.Type `json:"io.contivpp.type"`
	Network   string     `json:"io.contivpp.network"`
	MemifID   *uint32    `json:"io.contivpp.memif-id,omitempty"`
	Container string     `json:"io.contivpp.memif-container,omitempty"`
}

// device is what the group's device information specification 1.1.0 says of a
// memif (section 3.1.6). The role is that of the application, which connects.
type device struct {
	Type    string `json:"type"`
	Version string `json:"version"`
	Memif   struct {
		Role string `json:"role"`
		Path string `json:"path"`
		Mode string `json:"mode"`
	} `json:"memif"`
}

// The sizes, in bytes, from which the annotation is written without spaces, and
// not at all: Kubernetes takes 262,144 bytes of all annotations of an object
// together.
const (
	plainSize = 32 << 10
	maxSize   = 128 << 10
)

// NetworkStatus is the annotation's value for an attachment to a CNI network of
// that name.
func NetworkStatus(network string, made attach.Result) (string, error) {
	list := make([]element, len(made.Interfaces))
	for n, i := range made.Interfaces {
		list[n] = elementOf(network, i)
		list[n].Default = n == 0
	}
	text, err := json.MarshalIndent(list, "", "    ")
	if err == nil && len(text) > plainSize {
		text, err = json.Marshal(list)
	}
	if err != nil {
		return "", fmt.Errorf("annotation %s: %w", podif.NetworkStatusAnnotation, err)
	}
	if len(text) > maxSize {
		return "", fmt.Errorf("annotation %s: %d interfaces take %d bytes, and at most %d are written", podif.NetworkStatusAnnotation, len(list), len(text), maxSize)
	}
	return string(text), nil
}

func elementOf(network string, i attach.ResultInterface) element {
	e := element{
		Name: i.Network, Interface: i.Name, MTU: i.MTU, Gateways: i.Gateways,
		Type: i.Type, Network: i.Network,
	}
	if i.Network == model.DefaultNetwork { // to whoever counts the pod's networks it is the CNI network
		e.Name = network
	}
	for _, address := range i.Addresses {
		e.IPs = append(e.IPs, address.Addr())
	}
	if !i.MAC.IsZero() {
		e.MAC = i.MAC.String()
	}
	if m := i.Memif; m != nil {
		e.MemifID, e.Container = &m.ID, m.Container
		e.Device = &device{Type: "memif", Version: "1.1.0"}
		e.Device.Memif.Role, e.Device.Memif.Path, e.Device.Memif.Mode = "slave", i.SocketPath, "ethernet"
	}
	return e
}
