// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package services resolves Kubernetes services in the node's network namespace, by
// one nftables table.
//
// A packet that begins a connection is looked up once, by its destination, and goes
// to the chain of its service, which takes a number at random within a range that is
// the service's own and finds the backend by that number: two lookups in hash tables,
// however many services and backends there are. The table's nat chains come ahead of
// kube-proxy's; whoever is not found here goes on to those.
//
// The table is all that is remembered: names of chains and comments of elements tell
// what they are for, so that another process reads everything back.
package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"sigs.k8s.io/knftables"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// Table is the node's table of services. Safe for concurrent use; the caller's
// process is in the node's network namespace.
type Table struct {
	nft knftables.Interface

	mu sync.Mutex
	// made is what the table has, as far as it is whole; nil is not read yet.
	made map[desired.ServiceKey]*entry
	// holders says whose a frontend is.
	holders map[frontendKey]desired.ServiceKey
	// hairpins counts, for each, the backends that need it.
	hairpins map[hairpin]int
	numbers  numbers
	// sticky is how many of them have affinity, and noting whether the rules for these
	// are there.
	sticky int
	noting bool
	// garbage is in the table, and belongs to nothing in made.
	garbage contents
	// isNew is set where there is no table, or one that must be made anew.
	isNew bool
	// isThere says that there is one that must be made anew.
	isThere bool
	pods    []netip.Prefix // that the table is to have
	had     []netip.Prefix // that it has

	// owed are flows to be deleted, also those that could not be before.
	owed flows

	changes changes
}

var (
	_ dataplane.Services      = (*Table)(nil)
	_ dataplane.ServiceLimits = (*Table)(nil)
)

// New makes nothing yet.
func New() (*Table, error) {
	nft, err := knftables.New(knftables.InetFamily, TableName)
	if err != nil {
		return nil, fmt.Errorf("nftables (is the nft program installed?): %w", err)
	}
	return &Table{nft: nft}, nil
}

// SetPods says which addresses the pods of this node have: their packets need not be
// masqueraded, as answers pass the node anyway. It counts from the next change on.
func (t *Table) SetPods(pods []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods = slices.Clone(pods)
}

// ApplyServices implements dataplane.Services. Of what somebody altered beside, that
// which is in the way is put right.
func (t *Table) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.apply(ctx, put, gone)
	if isRefused(err) {
		// What is there may be other than was known.
		t.made = nil
		err = t.apply(ctx, put, gone)
	}
	if isRefused(err) {
		err = t.search(ctx, part{put, gone}, err)
	}
	if err != nil {
		t.made = nil
	}
	return err
}

func (t *Table) know(ctx context.Context) error {
	if t.made != nil {
		return nil
	}
	_, err := t.read(ctx)
	return err
}

func (t *Table) apply(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	if err := t.know(ctx); err != nil {
		return err
	}
	c, err := t.plan(put, gone)
	if err != nil {
		return err
	}
	if err := t.carryOut(ctx, c); err != nil {
		return err
	}
	t.owed.merge(c.flows)
	err = t.forgetFlows(t.owed)
	if err == nil {
		t.owed = flows{}
	}
	return errors.Join(err, t.forgetClients(ctx, c.left))
}

// carryOut runs a change. Where there is no service, there is no table.
func (t *Table) carryOut(ctx context.Context, c *change) error {
	if len(t.made) > 0 {
		err := t.run(ctx, c.transaction(t))
		t.garbage, t.isNew, t.had = contents{}, false, t.pods
		return err
	}
	if t.isNew && !t.isThere {
		return nil
	}
	t.garbage, t.isNew, t.isThere = contents{}, true, false
	return t.removeTable(ctx)
}

func (t *Table) removeTable(ctx context.Context) error {
	tx := t.nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	return t.run(ctx, tx)
}

// Unserved implements dataplane.ServiceLimits.
func (t *Table) Unserved(s desired.Service) error { return check(s.Key) }

// ObserveServices implements dataplane.Services. A service that is not whole is told
// of without content, so that it goes where nobody wants it.
func (t *Table) ObserveServices(ctx context.Context) (map[desired.ServiceKey]desired.Service, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.read(ctx)
}

// RemoveServices implements dataplane.Services.
func (t *Table) RemoveServices(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made = nil
	return t.removeTable(ctx)
}

// nftError is what the kernel or nft did not accept.
type nftError struct{ err error }

func (e *nftError) Error() string { return "nftables table " + TableName + ": " + e.err.Error() }
func (e *nftError) Unwrap() error { return e.err }

// run carries a transaction out. What the kernel tells of it is known to be our own.
func (t *Table) run(ctx context.Context, tx *knftables.Transaction) error {
	if tx.NumOperations() == 0 {
		return nil
	}
	end, err := t.changes.begin()
	if err != nil {
		return err
	}
	defer end()
	if err := t.nft.Run(ctx, tx); err != nil {
		return &nftError{err}
	}
	return nil
}
