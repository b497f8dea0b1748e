// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ligato

import (
	"encoding/json"
	"fmt"
)

// The values, as far as a pod needs them, with their fields in the order in which
// they are written: JSON of the agents' protocol buffers with the names that are in
// their definitions, enumerations as words, and what is zero left out.

// vppInterface is vpp.interfaces.Interface.
type vppInterface struct {
	Name        string     `json:"name,omitempty"`
	Type        string     `json:"type,omitempty"`
	Enabled     bool       `json:"enabled,omitempty"`
	IPAddresses []string   `json:"ip_addresses,omitempty"`
	Memif       *memifLink `json:"memif,omitempty"`
}

// memifLink is vpp.interfaces.MemifLink of a slave in Ethernet mode, which mode
// and role are when nothing is said.
type memifLink struct {
	ID             uint32 `json:"id,omitempty"`
	SocketFilename string `json:"socket_filename,omitempty"`
	Secret         string `json:"secret,omitempty"`
}

// vppARP is vpp.l3.ARPEntry.
type vppARP struct {
	Interface   string `json:"interface,omitempty"`
	IPAddress   string `json:"ip_address,omitempty"`
	PhysAddress string `json:"phys_address,omitempty"`
	Static      bool   `json:"static,omitempty"`
}

// vppRoute is vpp.l3.Route.
type vppRoute struct {
	DstNetwork        string `json:"dst_network,omitempty"`
	NextHopAddr       string `json:"next_hop_addr,omitempty"`
	OutgoingInterface string `json:"outgoing_interface,omitempty"`
}

// linuxInterface is linux.interfaces.Interface of release 3.
type linuxInterface struct {
	Name        string   `json:"name,omitempty"`
	Type        string   `json:"type,omitempty"`
	Enabled     bool     `json:"enabled,omitempty"`
	IPAddresses []string `json:"ip_addresses,omitempty"`
	HostIfName  string   `json:"host_if_name,omitempty"`
}

// linuxARP is linux.l3.ARPEntry.
type linuxARP struct {
	Interface string `json:"interface,omitempty"`
	IPAddress string `json:"ip_address,omitempty"`
	HwAddress string `json:"hw_address,omitempty"`
}

// linuxRoute is linux.l3.Route.
type linuxRoute struct {
	OutgoingInterface string `json:"outgoing_interface,omitempty"`
	Scope             string `json:"scope,omitempty"`
	DstNetwork        string `json:"dst_network,omitempty"`
	GwAddr            string `json:"gw_addr,omitempty"`
}

// ipAllocation is netalloc.IPAllocation of release 3.
type ipAllocation struct {
	NetworkName   string `json:"network_name,omitempty"`
	InterfaceName string `json:"interface_name,omitempty"`
	Address       string `json:"address,omitempty"`
	Gw            string `json:"gw,omitempty"`
}

// encode writes JSON as protocol buffers' own encoder did for Contiv-VPP: texts go
// through encoding/json there too, which escapes "<", ">" and "&".
func encode(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return data, nil
}
