// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"net/netip"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/model"
)

// TableName is the table's; its family is inet.
const TableName = "polynic-services"

const tableComment = "made by polynic-agent; changes are undone"

// Where the table's nat chains are among others. The kernel has one hook for all of
// them and asks them in this order until one translates: kube-proxy's are at -100
// (dstnat) and 100 (srcnat).
const (
	translatePriority = "-105"
	hidePriority      = "95"
)

// family is what rules of an address family say.
type family struct {
	suffix         string // of names
	word, kind     string
	proto, looping string
}

func familyOf(isIPv6 bool) family { //nolint:revive // a family is one of two
	if isIPv6 {
		return family{"6", "ip6", "ipv6_addr", "ipv6", "::1"}
	}
	return family{"4", "ip", "ipv4_addr", "ipv4", "127.0.0.0/8"}
}

func families() []family { return []family{familyOf(false), familyOf(true)} }

// The sets and maps that all services have in common, without the family.
const (
	podSet      = "pods"      // the addresses of this node's pods
	frontMap    = "fronts"    // address . protocol . port : chain
	portMap     = "nodeports" // protocol . port : chain
	backendMap  = "backends"  // number : address . port; one for each protocol
	hairpinSet  = "hairpins"  // source . backend, of the same pod
	hiddenSet   = "hidden"    // address . protocol . port that any backend may serve
	hiddenPort  = "hiddenports"
	stickyMap   = "sticky" // address . protocol . port : chain that notes the client
	stickyPort  = "stickyports"
	sourceNotes = "sources" // address . protocol . port . n, in the comment who may ask
)

// Chains of all services that others lead to.
const (
	refuse = "refuse" // for what has no backend
	notes  = "note"   // for what may have to be noted
)

func (f family) backends(p model.Protocol) string { return backendMap + "-" + word(p) + f.suffix }

func protocols() []model.Protocol { return []model.Protocol{model.TCP, model.UDP, model.SCTP} }

func word(p model.Protocol) string { return strings.ToLower(string(p)) }

// commonSets lists what all services have in common.
func commonSets() []knftables.Object {
	var list []knftables.Object
	set := func(name, kind string, flags ...knftables.SetFlag) {
		list = append(list, &knftables.Set{Name: name, Type: kind, Flags: flags})
	}
	mapping := func(name, kind string) { list = append(list, &knftables.Map{Name: name, Type: kind}) }
	for _, f := range families() {
		at := f.kind + " . inet_proto . inet_service"
		set(podSet+f.suffix, f.kind, knftables.IntervalFlag)
		mapping(frontMap+f.suffix, at+" : verdict")
		mapping(portMap+f.suffix, "inet_proto . inet_service : verdict")
		for _, p := range protocols() {
			// The only type that a random number has is its own expression's; and a type by
			// expressions is of one protocol.
			list = append(list, &knftables.Map{
				Name: f.backends(p), TypeOf: fmt.Sprintf("numgen random mod 4294967295 : %s daddr . %s dport", f.word, word(p)),
			})
		}
		set(hairpinSet+f.suffix, f.kind+" . "+f.kind)
		set(hiddenSet+f.suffix, at)
		set(hiddenPort+f.suffix, "inet_proto . inet_service")
		mapping(stickyMap+f.suffix, at+" : verdict")
		mapping(stickyPort+f.suffix, "inet_proto . inet_service : verdict")
		set(sourceNotes+f.suffix, at+" . mark")
	}
	return list
}

// rule is one of a chain. Comments tell rules apart when they are read back, as the
// text of a rule is printed otherwise by every version of nft.
type rule struct{ text, comment string }

// hooks are the chains that the kernel calls.
func hooks() []*knftables.Chain {
	hook := func(name string, at knftables.BaseChainHook, priority knftables.BaseChainPriority) *knftables.Chain {
		return &knftables.Chain{Name: name, Type: knftables.PtrTo(knftables.NATType), Hook: &at, Priority: &priority}
	}
	return []*knftables.Chain{
		hook("prerouting", knftables.PreroutingHook, translatePriority),
		hook("output", knftables.OutputHook, translatePriority),
		hook("input", knftables.InputHook, hidePriority),
		hook("postrouting", knftables.PostroutingHook, hidePriority),
	}
}

// commonChains are those that are there whatever services there are. The layout's
// number goes up when what the chains say changes, so that an older table is replaced.
func commonChains() map[string][]rule {
	const layout = "layout 1"
	return map[string][]rule{
		"prerouting": {{"jump resolve", layout}},
		"output":     {{"jump resolve", layout}},
		"input":      {{"ct status dnat jump " + notes, layout}},
		"postrouting": {
			{"ct status dnat jump " + notes, layout},
			{"ct status dnat jump hide", ""},
		},
		"resolve": resolveRules(),
		notes:     nil, // or noteRules, where a service has affinity
		"hide":    hideRules(),
		refuse: {
			{"meta l4proto tcp reject with tcp reset", "no backend"},
			{"reject", "no backend"},
		},
	}
}

func resolveRules() []rule {
	var list []rule
	for _, f := range families() {
		list = append(list, rule{fmt.Sprintf("%s daddr . meta l4proto . th dport vmap @%s", f.word, frontMap+f.suffix), ""})
	}
	list = append(list, rule{"fib daddr type != local return", "node ports"})
	for _, f := range families() {
		list = append(list,
			rule{fmt.Sprintf("%s daddr %s return", f.word, f.looping), ""},
			rule{fmt.Sprintf("meta nfproto %s meta l4proto . th dport vmap @%s", f.proto, portMap+f.suffix), ""})
	}
	return list
}

// asked is what a translated connection asked for at first.
func asked(f family, p model.Protocol) (at, port string) {
	first := "meta l4proto " + word(p)
	return fmt.Sprintf("%s ct original %s daddr . meta l4proto . ct original proto-dst", first, f.word),
		fmt.Sprintf("meta nfproto %s %s meta l4proto . ct original proto-dst", f.proto, first)
}

// noteRules costs every connection something, so that they are there only where there
// is something to note.
func noteRules() []rule {
	var list []rule
	for _, f := range families() {
		for _, p := range protocols() {
			at, port := asked(f, p)
			list = append(list,
				rule{fmt.Sprintf("%s vmap @%s", at, stickyMap+f.suffix), ""},
				rule{fmt.Sprintf("%s vmap @%s", port, stickyPort+f.suffix), ""})
		}
	}
	return list
}

func hideRules() []rule {
	var list []rule
	for _, f := range families() {
		list = append(list,
			rule{fmt.Sprintf("%[1]s saddr . %[1]s daddr @%[2]s masquerade fully-random", f.word, hairpinSet+f.suffix), "a pod asks itself"},
			rule{fmt.Sprintf("%s saddr @%s return", f.word, podSet+f.suffix), ""})
	}
	for _, f := range families() {
		for _, p := range protocols() {
			at, port := asked(f, p)
			list = append(list,
				rule{fmt.Sprintf("%s @%s masquerade fully-random", at, hiddenSet+f.suffix), ""},
				rule{fmt.Sprintf("%s @%s masquerade fully-random", port, hiddenPort+f.suffix), ""})
		}
	}
	return list
}

// addCommon makes the table anew.
func addCommon(tx *knftables.Transaction) {
	table := &knftables.Table{Comment: new(tableComment)}
	tx.Add(table)
	tx.Delete(&knftables.Table{})
	tx.Add(table)
	for _, o := range commonSets() {
		tx.Add(o)
	}
	isHook := map[string]bool{}
	for _, c := range hooks() {
		isHook[c.Name] = true
		tx.Add(c)
	}
	chains := commonChains()
	for _, name := range sorted(chains) {
		if !isHook[name] {
			tx.Add(&knftables.Chain{Name: name})
		}
	}
	for _, name := range sorted(chains) {
		addRules(tx, name, chains[name])
	}
}

func addRules(tx *knftables.Transaction, chain string, rules []rule) {
	for _, r := range rules {
		added := &knftables.Rule{Chain: chain, Rule: r.text}
		if r.comment != "" {
			added.Comment = &r.comment
		}
		tx.Add(added)
	}
}

func setPods(tx *knftables.Transaction, pods []netip.Prefix) {
	for _, f := range families() {
		tx.Flush(&knftables.Set{Name: podSet + f.suffix})
		for _, p := range pods {
			if p.Addr().Is6() == (f.suffix == "6") {
				tx.Add(&knftables.Element{Set: podSet + f.suffix, Key: []string{p.Masked().String()}})
			}
		}
	}
}
