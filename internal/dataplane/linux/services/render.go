// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// The chains, sets and maps of one service. A name is one of these, the family, and
// the service: any4/NAMESPACE/NAME/PROTOCOL/PORT.
const (
	anyChain   = "any"   // to any backend
	localChain = "local" // to one on this node
	outerChain = "outer" // to any for who is inside, to one on this node for others
	gateChain  = "gate"  // for who may; between the family and the service it has the frontend
	noteChain  = "note"  // notes which backend a client has got
	outerNote  = "outernote"
	keptMap    = "kept"    // client : address; ends with the backends' port
	memberSet  = "members" // address . port of the backends
	onlyLocal  = "local"   // ends names that are of local backends alone
)

// clientsKept bounds how many clients of one service keep their backend.
const clientsKept = 65536

// names makes the names of one service.
type names struct {
	family
	service string
}

func namesOf(k desired.ServiceKey) names {
	return names{familyOf(k.IPv6), strings.Join([]string{k.Service.Namespace, k.Service.Name, word(k.Protocol), k.Port}, "/")}
}

func (n names) of(what string) string { return what + n.suffix + "/" + n.service }

// keyOf is the service of a chain named by names.of(anyChain).
func keyOf(chain string) (desired.ServiceKey, bool) {
	parts := strings.Split(chain, "/")
	const count = 5
	if len(parts) != count || parts[0] != anyChain+"4" && parts[0] != anyChain+"6" {
		return desired.ServiceKey{}, false
	}
	k := desired.ServiceKey{
		Service:  model.ServiceRef{Namespace: parts[1], Name: parts[2]},
		Protocol: model.Protocol(strings.ToUpper(parts[3])), Port: parts[4], IPv6: parts[0] == anyChain+"6",
	}
	return k, true
}

// frontendKey is what a packet is found by. It is comparable.
type frontendKey struct {
	address  netip.Addr // invalid for a port of the node
	protocol model.Protocol
	port     uint16
	isIPv6   bool
}

func keyOfFrontend(f desired.Frontend, k desired.ServiceKey) frontendKey {
	return frontendKey{f.Address, k.Protocol, f.Port, k.IPv6}
}

// String is as a map of the table has it.
func (k frontendKey) String() string {
	at := key(word(k.protocol), strconv.Itoa(int(k.port)))
	if k.address.IsValid() {
		return key(k.address.String(), at)
	}
	return at
}

// render writes down what a service has in the table, but for its backends.
func render(s desired.Service, all, local *block) contents {
	c := newContents()
	n := namesOf(s.Key)
	c.chains[n.of(anyChain)] = pick(n, s, all, "")
	if s.HasLocal() {
		c.chains[n.of(localChain)] = pick(n, s, local, onlyLocal)
	}
	if s.Affinity > 0 {
		n.keep(c, s, anyChain)
		if s.HasLocal() {
			n.keep(c, s, localChain)
		}
	}
	for _, f := range s.Frontends {
		n.frontend(c, s, f)
	}
	return c
}

// pick is what chooses a backend of a block.
func pick(n names, s desired.Service, b *block, of string) []rule {
	if b.count() == 0 {
		return []rule{{"goto " + refuse, fmt.Sprintf("no backend for %d s", s.Affinity)}}
	}
	translate := fmt.Sprintf("meta l4proto %s dnat %s to ", word(s.Key.Protocol), n.word)
	var list []rule
	if s.Affinity > 0 {
		for _, port := range portsOf(s, of) {
			list = append(list, rule{
				translate + fmt.Sprintf("%s saddr map @%s : %d", n.word, n.kept(of, port), port),
				fmt.Sprintf("as for %d s at %d", s.Affinity, port),
			})
		}
	}
	how := fmt.Sprintf("numgen random mod %d", b.count())
	comment := fmt.Sprintf("%d from %d", b.count(), b.offset)
	if byClient(s, of) {
		how = fmt.Sprintf("jhash %s saddr . udp sport mod %d seed %#x", n.word, b.count(), clientSeed)
		comment += " by client"
	}
	return append(list, rule{
		translate + fmt.Sprintf("%s offset %d map @%s", how, b.offset, n.backends(s.Key.Protocol)), comment,
	}, rule{
		// A packet that is on its way while nftables commits may see the old rules, and
		// no more an element that goes. It is sent again; let through, its connection
		// would be taken for one that nobody translates, and stay so.
		"drop", "its number went meanwhile",
	})
}

// clientSeed is any number. It stays: with another one flows would change their backends.
const clientSeed = 0x706f6c79

// byClient reports whether a flow is to come to the same backend should it be
// forgotten. kube-proxy has UDP flows forgotten, at any time, that go to an address
// which is in none of its EndpointSlices, as those of custom interfaces are.
func byClient(s desired.Service, of string) bool {
	return s.Key.Protocol == model.UDP &&
		slices.ContainsFunc(backendsOf(s, of), func(b desired.Backend) bool { return b.Main.IsValid() })
}

func membersOf(of string) string { return memberSet + of }

func (n names) kept(of string, port uint16) string {
	return fmt.Sprintf("%s/%d", n.of(keptMap+of), port)
}

// portsOf lists the ports of a service's backends, or of those on this node.
func portsOf(s desired.Service, of string) []uint16 {
	var ports []uint16
	for _, e := range backendsOf(s, of) {
		if !slices.Contains(ports, e.Port) {
			ports = append(ports, e.Port)
		}
	}
	slices.Sort(ports)
	return ports
}

// keep has the backend of every client of a chain noted.
func (n names) keep(c contents, s desired.Service, chain string) {
	of, note := "", noteChain
	if chain == localChain {
		of, note = onlyLocal, noteChain+onlyLocal
	}
	members := n.of(membersOf(of))
	c.sets[members] = &knftables.Set{Name: members, Type: n.kind + " . inet_service"}
	c.chains[n.of(note)] = nil
	for _, port := range portsOf(s, of) {
		kept := n.kept(of, port)
		c.sets[kept] = &knftables.Map{
			Name: kept, Type: n.kind + " : " + n.kind,
			Flags: []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}, Size: new(uint64(clientsKept)),
		}
		c.chains[n.of(note)] = append(c.chains[n.of(note)], rule{
			fmt.Sprintf("meta l4proto %[5]s th dport %[6]d %[1]s daddr . th dport @%[2]s update @%[3]s { %[1]s saddr timeout %[4]ds : %[1]s daddr }",
				n.word, members, kept, s.Affinity, word(s.Key.Protocol), port),
			fmt.Sprintf("for %d s at %d", s.Affinity, port),
		})
	}
}

// frontend adds what leads from a frontend to a chain that picks.
func (n names) frontend(c contents, s desired.Service, f desired.Frontend) {
	to, note := anyChain, noteChain
	switch {
	case f.Local && f.Kind == desired.FrontendCluster:
		to, note = localChain, noteChain+onlyLocal
	case f.Local:
		to, note = outerChain, outerNote
		c.chains[n.of(outerChain)] = n.inside(anyChain, localChain)
		if s.Affinity > 0 {
			c.chains[n.of(outerNote)] = n.inside(noteChain, noteChain+onlyLocal)
		}
	}
	target := n.of(to)
	k := keyOfFrontend(f, s.Key)
	if len(f.Sources) > 0 {
		gate := n.gate(k)
		c.chains[gate] = n.gateRules(f, target)
		target = gate
		n.noteSources(c, k, f.Sources)
	}
	comment := f.Kind.String()
	if f.Local {
		comment += " local"
	}
	fronts, sticky, hidden := frontMap, stickyMap, hiddenSet
	if !k.address.IsValid() {
		fronts, sticky, hidden = portMap, stickyPort, hiddenPort
	}
	c.elements[elementKey{fronts + n.suffix, k.String()}] = element{"goto " + target, comment}
	if s.Affinity > 0 {
		c.elements[elementKey{sticky + n.suffix, k.String()}] = element{"jump " + n.of(note), ""}
	}
	if !f.Local {
		c.elements[elementKey{hidden + n.suffix, k.String()}] = element{}
	}
}

// inside tells who is inside the cluster from others.
func (n names) inside(insiders, others string) []rule {
	return []rule{
		{fmt.Sprintf("%s saddr @%s goto %s", n.word, podSet+n.suffix, n.of(insiders)), "pods"},
		{"fib saddr type local goto " + n.of(insiders), "the node"},
		{"goto " + n.of(others), ""},
	}
}

// gate is the name of the chain of one frontend with sources.
func (n names) gate(k frontendKey) string {
	at := "node"
	if k.address.IsValid() {
		at = hex.EncodeToString(k.address.AsSlice())
	}
	return fmt.Sprintf("%s%s.%s.%d/%s", gateChain, n.suffix, at, k.port, n.service)
}

// gateRules lets through who may, and the address itself: where that is one of the
// node's, the node's own packets have it as their source.
func (n names) gateRules(f desired.Frontend, target string) []rule {
	var allowed []string
	if f.Address.IsValid() {
		allowed = append(allowed, f.Address.String())
	}
	for _, p := range disjoint(f.Sources) {
		if !p.Contains(f.Address) {
			allowed = append(allowed, p.String())
		} else {
			allowed[0] = p.String()
		}
	}
	text := fmt.Sprintf("%s saddr != { %s } drop", n.word, strings.Join(allowed, ", "))
	to, _, _ := strings.Cut(target, "/")
	return []rule{{text, "sources"}, {"goto " + target, to}}
}

// disjoint leaves prefixes out that others contain. The others are in order. There may
// be as many as a service has room for.
func disjoint(list []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, len(list))
	for i, p := range list {
		sorted[i] = p.Masked()
	}
	slices.SortFunc(sorted, netip.Prefix.Compare) // what contains others is right before them
	var out []netip.Prefix
	for _, p := range sorted {
		if len(out) == 0 || !out[len(out)-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

// noteSources writes down who may, for the next reader: nft merges and reorders them
// where they are used.
func (n names) noteSources(c contents, k frontendKey, sources []netip.Prefix) {
	for i, p := range sources {
		c.elements[elementKey{sourceNotes + n.suffix, n.sourceKey(k, i)}] = element{comment: p.String()}
	}
}

func (n names) sourceKey(k frontendKey, i int) string {
	at := k
	if !k.address.IsValid() {
		at.address = netip.IPv4Unspecified()
		if k.isIPv6 {
			at.address = netip.IPv6Unspecified()
		}
	}
	return key(at.String(), strconv.Itoa(i))
}
