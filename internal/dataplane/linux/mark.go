// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/nl"
)

// The marks of what is ours. docs/architecture.md lists them for people.
const (
	// protocol marks routes, and rules (FRA_PROTOCOL).
	protocol = nodenet.Protocol
	// portGroup marks the switch ends of ports (IFLA_GROUP): "PN".
	portGroup = 0x504e
	// leavingGroup holds those that were cut off, until they are deleted.
	leavingGroup = portGroup + 1
	// aliasWord begins the alias (IFLA_IFALIAS) of every switch end.
	aliasWord = nodenet.AliasWord
	// cniWord begins the name of the CNI network in an alias; no pod's name has it.
	cniWord = "cni:"
	// networkWord begins that of the network, where the link's namespace does not
	// tell it.
	networkWord = "network:"
	// maxAlias is the longest alias that the kernel takes (IFALIASZ - 1).
	maxAlias = 255
	// linkNameLen is the length of every switch end's name.
	linkNameLen = 15
)

// linkName is the name of a port's switch end: the beginning of the interface's
// name, and a hash that tells it from every other's.
func linkName(owner desired.Owner, port string) string {
	const stem = 4
	sum := sha256.Sum256([]byte(owner.String() + "/" + port))
	name := port[:min(stem, len(port))] + "-" + hex.EncodeToString(sum[:])
	return name[:linkNameLen]
}

// portID is how the relay knows a port.
func portID(owner desired.Owner, port string) string { return owner.String() + "/" + port }

// parsePortID undoes portID.
func parsePortID(id string) (owner desired.Owner, port string, ok bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 {
		return desired.Owner{}, "", false
	}
	return desired.Owner{ContainerID: parts[0], IfName: parts[1]}, parts[2], true
}

// alias is a switch end's mark: whose it is, of which CNI network, and for people
// which pod's, which is cut off where it is too long.
func (d *Driver) alias(p desired.Port) string {
	words := []string{aliasWord, p.Owner.ContainerID, p.Owner.IfName, p.Pod.Name}
	if p.CNINetwork != "" {
		words = append(words, cniWord+p.CNINetwork)
	}
	if d.portsOnly {
		words = append(words, networkWord+p.Network)
	}
	text := strings.Join(append(words, p.PodName), " ")
	return text[:min(maxAlias, len(text))]
}

// parseAlias undoes alias, as far as it identifies the port.
func parseAlias(text string) (owner desired.Owner, port string, ok bool) {
	parts := strings.Fields(text)
	if len(parts) < 4 || parts[0] != aliasWord {
		return desired.Owner{}, "", false
	}
	return desired.Owner{ContainerID: parts[1], IfName: parts[2]}, parts[3], true
}

// readAliasRest reads what an alias tells beside: the CNI network, which aliases of
// former versions lack, the network where it has to, and the pod.
func readAliasRest(text string, p *desired.Port) {
	for _, word := range strings.Fields(text)[4:] {
		if name, ok := strings.CutPrefix(word, cniWord); ok {
			p.CNINetwork = name
		} else if name, ok := strings.CutPrefix(word, networkWord); ok {
			p.Network = name
		} else {
			p.PodName = word
		}
	}
}

// unmarked is the owner under which a link is reported that is in our group
// and has no alias: its maker was killed between the two.
func unmarked(link string) desired.Owner {
	return desired.Owner{ContainerID: "unmarked", IfName: link}
}

// ownership says whose a link is that has the name of a port.
type ownership int

const (
	ours     ownership = iota + 1
	halfMade           // ours, but its maker was killed before it had an alias, or somebody changed that
	leaving            // ours, cut off
	foreign
)

func ownershipOf(link nl.Link, owner desired.Owner, port string) ownership {
	marked, name, ok := parseAlias(link.Alias)
	switch {
	case link.Group == leavingGroup:
		return leaving
	case ok && marked == owner && name == port:
		return ours
	case link.Group == portGroup && !ok, link.Group == 0 && link.Alias == "":
		// The relay makes a twin without a group; the name is a hash that
		// nobody else has by chance.
		return halfMade
	default:
		return foreign
	}
}
