// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
)

// MAC is an Ethernet address. Unlike net.HardwareAddr it can be compared.
type MAC [6]byte

// String renders the address in colon form.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// IsZero reports whether no address is set.
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText renders the address for JSON and journals.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses the colon form.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	if err != nil {
		return fmt.Errorf("MAC address %q: %w", text, err)
	}
	if len(hw) != len(m) {
		return fmt.Errorf("MAC address %q: %d bytes, want %d", text, len(hw), len(m))
	}
	copy(m[:], hw)
	return nil
}

// mainIfName is the name under which a runtime asks for a pod's main interface.
const mainIfName = "eth0"

// PodMAC is the address of a pod interface and SwitchMAC that of its other
// end: 02:fe and the FNV-1a-32 hash of "CONTAINERID/INTERFACE", bytes little
// endian, the other end with the hash inverted. The pod's main interface is
// hashed with an empty name (Contiv-VPP v3.4.2, plugins/ipnet/pod.go:1106).
func PodMAC(containerID, ifName string) MAC { return hashMAC(containerID, ifName, 0) }

// SwitchMAC is the switch's side of PodMAC.
func SwitchMAC(containerID, ifName string) MAC {
	return hashMAC(containerID, ifName, 0xffffffff)
}

func hashMAC(containerID, ifName string, flip uint32) MAC {
	if ifName == mainIfName {
		ifName = ""
	}
	h := fnv.New32a()
	h.Write([]byte(containerID + "/" + ifName))
	m := MAC{0x02, 0xfe}
	binary.LittleEndian.PutUint32(m[2:], h.Sum32()^flip)
	return m
}
