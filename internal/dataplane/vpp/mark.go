// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/desired"
)

// The marks of what is ours in VPP: interfaces have a tag, of at most 63 bytes, and
// tables a name. docs/decisions/0020-marks-in-vpp.md tells why they look so.
const (
	// portWord begins the tag of a port, nodeWord that of what is the node's.
	portWord, nodeWord = "pn/", "pn:"
	maxTag             = 63
	// tableName is that of our tables.
	tableName = "polynic"
	// verbatim begins a container id that is not 32 bytes in hexadecimal.
	verbatim = "~"
	// hashed begins what stands for an owner whose words do not fit.
	hashed = "#"
)

// gatewayTag marks the loopback of a network, with the number of its table.
func gatewayTag(network string, table uint32) string {
	return fmt.Sprintf("%sgateway/%s/%d", nodeWord, network, table)
}

// parseGatewayTag undoes gatewayTag.
func parseGatewayTag(tag string) (network string, table uint32, ok bool) {
	words, ok := strings.CutPrefix(tag, nodeWord+"gateway/")
	network, number, isPair := strings.Cut(words, "/")
	n, err := strconv.ParseUint(number, 10, 32)
	return network, uint32(n), ok && isPair && err == nil
}

func hostLinkTag(name string) string { return nodeWord + "host-link/" + name }

// isNodes reports whether a tag is of what is the node's.
func isNodes(tag string) bool { return strings.HasPrefix(tag, nodeWord) }

// portTag says whose a port is: pn/CONTAINER/IFNAME/PORT, the container's id in
// base64. A port's name that does not fit is cut and ends in a hash.
func portTag(owner desired.Owner, port string) string {
	if strings.HasPrefix(owner.ContainerID, hashed) {
		return portWord + owner.ContainerID // read from a tag
	}
	tag := portWord + packID(owner.ContainerID) + "/" + owner.IfName + "/"
	room := maxTag - len(tag)
	const hash = 6
	switch sum := sha256.Sum256([]byte(owner.String() + "/" + port)); {
	case len(port) <= room:
		return tag + port
	case room > hash:
		return tag + port[:room-hash] + verbatim + hex.EncodeToString(sum[:])[:hash-1]
	default:
		return portWord + hashed + hex.EncodeToString(sum[:])[:40]
	}
}

// parseTag undoes portTag, as far as that goes: what it gives has the same tag.
func parseTag(tag string) (owner desired.Owner, port string, ok bool) {
	words, ok := strings.CutPrefix(tag, portWord)
	if !ok {
		return owner, "", false
	}
	if strings.HasPrefix(words, hashed) {
		return desired.Owner{ContainerID: words}, words, true
	}
	parts := strings.Split(words, "/")
	if len(parts) != 3 {
		return owner, "", false
	}
	return desired.Owner{ContainerID: unpackID(parts[0]), IfName: parts[1]}, parts[2], true
}

// packID makes a container's id as short as it goes.
func packID(id string) string {
	if data, err := hex.DecodeString(id); err == nil && len(data) == sha256.Size && hex.EncodeToString(data) == id {
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return verbatim + id
}

func unpackID(word string) string {
	if id, ok := strings.CutPrefix(word, verbatim); ok {
		return id
	}
	data, err := base64.RawURLEncoding.DecodeString(word)
	if err != nil {
		return word
	}
	return hex.EncodeToString(data)
}

// tapID tells the taps of the node apart on their socket.
func tapID(owner desired.Owner, port string) uint32 {
	sum := sha256.Sum256([]byte(owner.String() + "/" + port))
	return binary.BigEndian.Uint32(sum[:])
}

// unmarked is the owner under which an interface is reported that has no tag and
// must be ours: its maker was killed between the two.
func unmarked(name string) desired.Owner {
	return desired.Owner{ContainerID: "unmarked", IfName: name}
}
