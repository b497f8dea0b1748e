// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/desired"
)

// The node's one nftables table. Its rules are static: adding a pod changes
// routes, and the rules ask those.
const (
	tableFamily = knftables.InetFamily
	tableName   = "polynic"
	// TableName is what the events of nftables call it.
	TableName = tableName
)

// Rules writes what is in the table, which is there and empty.
type Rules func(tx *knftables.Transaction)

func transaction(nft knftables.Interface, rules Rules) *knftables.Transaction {
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{Comment: new("made by polynic-agent; changes are undone")})
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: new("made by polynic-agent; changes are undone")})
	rules(tx)
	return tx
}

// Family is what rules of a family say.
type Family struct{ Word, Kind, Suffix, Multicast string }

// Families lists both.
func Families() []Family {
	return []Family{{"ip", "ipv4_addr", "4", "224.0.0.0/4"}, {"ip6", "ipv6_addr", "6", "ff00::/8"}}
}

// AddOutbound adds the chain that hides pods behind the node's address on their way
// to what is not inside, if the network asks for it.
func AddOutbound(tx *knftables.Transaction, n desired.Network) {
	if !n.Masquerade {
		return
	}
	tx.Add(&knftables.Chain{
		Name: "outbound", Type: knftables.PtrTo(knftables.NATType),
		Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	for _, f := range Families() {
		pods, inside := ofFamily(n.Pods, f), ofFamily(n.Inside, f)
		if len(pods) == 0 {
			continue
		}
		addSet(tx, "pods"+f.Suffix, f.Kind, pods)
		addSet(tx, "inside"+f.Suffix, f.Kind, inside)
		tx.Add(&knftables.Rule{
			Chain: "outbound",
			Rule: fmt.Sprintf("%[1]s saddr @pods%[2]s %[1]s daddr != @inside%[2]s %[1]s daddr != %[3]s masquerade fully-random",
				f.Word, f.Suffix, f.Multicast),
		})
	}
}

func addSet(tx *knftables.Transaction, name, kind string, prefixes []netip.Prefix) {
	tx.Add(&knftables.Set{Name: name, Type: kind, Flags: []knftables.SetFlag{knftables.IntervalFlag}})
	for _, p := range prefixes {
		tx.Add(&knftables.Element{Set: name, Key: []string{p.String()}})
	}
}

func ofFamily(prefixes []netip.Prefix, f Family) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is4() == (f.Word == "ip") {
			out = append(out, p)
		}
	}
	return out
}

// SetTable replaces the table unless it is as it should be.
func (n *Node) SetTable(ctx context.Context, rules Rules) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	same, err := n.TableIs(ctx, rules)
	if err != nil || same {
		return err
	}
	tx := transaction(n.nft, rules)
	if err := n.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("nftables table %s: %w", tableName, err)
	}
	listing, err := listTable(ctx)
	if err != nil {
		return err
	}
	return n.state.update(func(s *state) { s.Ruleset, s.Listing = tx.String(), listing })
}

// TableIs reports whether the table is the one that the rules make, and untouched
// since we made it.
func (n *Node) TableIs(ctx context.Context, rules Rules) (bool, error) {
	s, err := n.state.read()
	if err != nil || s.Ruleset == "" || transaction(n.nft, rules).String() != s.Ruleset {
		return false, err
	}
	listing, err := listTable(ctx)
	return listing == s.Listing, err
}

// RemoveTable takes the table away.
func (n *Node) RemoveTable(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	tx := n.nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	if err := n.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("nftables table %s: %w", tableName, err)
	}
	return n.state.update(func(s *state) { s.Ruleset, s.Listing = "", "" })
}

// listTable is the table as nft prints it, without counters; empty where there
// is none.
func listTable(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "nft", "--stateless", "list", "table", string(tableFamily), tableName).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		if strings.Contains(string(failed.Stderr), "No such file or directory") {
			return "", nil
		}
		return "", fmt.Errorf("nft list: %w: %s", err, strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("nft list (is the nft program installed?): %w", err)
	}
	return string(out), nil
}
