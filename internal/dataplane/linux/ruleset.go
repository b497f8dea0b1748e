// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

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
)

// ruleset writes the table as one transaction that replaces it whole.
func ruleset(tx *knftables.Transaction, n desired.Network) {
	tx.Add(&knftables.Table{Comment: new("made by polynic-agent; changes are undone")})
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: new("made by polynic-agent; changes are undone")})
	tx.Add(&knftables.Chain{
		Name: "guard", Type: knftables.PtrTo(knftables.FilterType),
		Hook: knftables.PtrTo(knftables.PreroutingHook), Priority: knftables.PtrTo(knftables.RawPriority),
	})
	tx.Add(&knftables.Rule{
		Chain:   "guard",
		Rule:    fmt.Sprintf("iifgroup %d fib saddr . iif oif missing counter drop", portGroup),
		Comment: new("a pod sends from its own addresses only"),
	})
	if !n.Masquerade {
		return
	}
	tx.Add(&knftables.Chain{
		Name: "outbound", Type: knftables.PtrTo(knftables.NATType),
		Hook: knftables.PtrTo(knftables.PostroutingHook), Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	for _, f := range []struct{ word, kind, suffix, multicast string }{
		{"ip", "ipv4_addr", "4", "224.0.0.0/4"},
		{"ip6", "ipv6_addr", "6", "ff00::/8"},
	} {
		pods, inside := ofFamily(n.Pods, f.word == "ip"), ofFamily(n.Inside, f.word == "ip")
		if len(pods) == 0 {
			continue
		}
		addSet(tx, "pods"+f.suffix, f.kind, pods)
		addSet(tx, "inside"+f.suffix, f.kind, inside)
		tx.Add(&knftables.Rule{
			Chain: "outbound",
			Rule: fmt.Sprintf("%[1]s saddr @pods%[2]s %[1]s daddr != @inside%[2]s %[1]s daddr != %[3]s masquerade fully-random",
				f.word, f.suffix, f.multicast),
		})
	}
}

func addSet(tx *knftables.Transaction, name, kind string, prefixes []netip.Prefix) {
	tx.Add(&knftables.Set{Name: name, Type: kind, Flags: []knftables.SetFlag{knftables.IntervalFlag}})
	for _, p := range prefixes {
		tx.Add(&knftables.Element{Set: name, Key: []string{p.String()}})
	}
}

func ofFamily(prefixes []netip.Prefix, ipv4 bool) []netip.Prefix { //nolint:revive // the family is the parameter
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is4() == ipv4 {
			out = append(out, p)
		}
	}
	return out
}

// applyRuleset replaces the table unless it is as it should be.
func (d *Driver) applyRuleset(ctx context.Context, n desired.Network) error {
	same, err := d.rulesetIs(ctx, n)
	if err != nil || same {
		return err
	}
	tx := d.nft.NewTransaction()
	ruleset(tx, n)
	if err := d.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("nftables table %s: %w", tableName, err)
	}
	listing, err := listTable(ctx)
	if err != nil {
		return err
	}
	return d.state.update(func(s *state) { s.Ruleset, s.Listing = tx.String(), listing })
}

// rulesetIs reports whether the table is the one that the network needs, and
// untouched since we made it.
func (d *Driver) rulesetIs(ctx context.Context, n desired.Network) (bool, error) {
	s, err := d.state.read()
	if err != nil || s.Ruleset == "" {
		return false, err
	}
	tx := d.nft.NewTransaction()
	ruleset(tx, n)
	if tx.String() != s.Ruleset {
		return false, nil
	}
	listing, err := listTable(ctx)
	return listing == s.Listing, err
}

func (d *Driver) removeRuleset(ctx context.Context) error {
	tx := d.nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	if err := d.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("nftables table %s: %w", tableName, err)
	}
	return d.state.update(func(s *state) { s.Ruleset, s.Listing = "", "" })
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
