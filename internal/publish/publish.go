// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package publish keeps, in etcd, what the agents in the pods must know. Owners
// say what they claim; the publisher writes it, repairs what others alter, and
// removes it when the owner goes, however long etcd is away meanwhile.
package publish

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/polynic/polynic/internal/publish/store"
)

// ErrStopped is returned to those who wait when the publisher stops.
var ErrStopped = errors.New("the publisher is stopping")

// MaxWait is how long Publish waits at most.
const MaxWait = 8 * time.Second

// Config is what a publisher works with.
type Config struct {
	Log   *slog.Logger
	Store *store.Store
	// Kind is the kind of every owner here, and Node that of every pod: records of
	// both that nobody claims are removed after Restored. Node is empty for
	// CustomConfigurations.
	Kind store.Kind
	Node string
	// IsAlive is asked about pods of other nodes that have what a claim wants. About
	// this node's the publisher knows itself.
	IsAlive store.Alive
	// Problem is told, by one goroutine, of an owner whose claim can not be
	// written for a reason that is the claim's, once for each reason, and with nil
	// when it was written after that. What Publish returned it is not told. Not
	// told either is that etcd is away, which is nobody's fault; see Away. It may be
	// nil.
	Problem func(store.Owner, error)
	// LookInterval is how often it is looked whether etcd lost its data,
	// CompareInterval how often everything is compared; 0 for 10 s and 5 min.
	LookInterval, CompareInterval time.Duration
}

// New makes a publisher. Nothing happens before Run.
func New(config Config) *Publisher { return &Publisher{config: config} }

// Publisher is safe for concurrent use.
type Publisher struct {
	config Config
}

// Run works until ctx ends, and then tells those who wait ErrStopped. It does
// not close the store's client.
func (p *Publisher) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Publish claims, and waits until that is in etcd, or can not be; at most
// MaxWait, and while ctx lives. While etcd is away it is tried again as long as
// that; where etcd has been away for longer already, one failure is enough. The
// error is a *store.TakenError, store.ErrTooLarge, store.ErrInvalid or
// store.ErrAway with the reason; the claim stays and is tried again until it is
// withdrawn.
func (p *Publisher) Publish(ctx context.Context, c store.Claim) error { return ErrStopped }

// Set claims without waiting: at start, what was claimed before. A claim replaces
// an earlier one of the same Ref.
func (p *Publisher) Set(c store.Claim) {}

// Restored says that every claim of before the start was Set, or is gone: what
// etcd has of this node beside is removed, as soon as etcd is there.
func (p *Publisher) Restored() {}

// Withdraw gives a claim up and does not wait: its keys go as soon as etcd is
// there. One that is not known is nothing.
func (p *Publisher) Withdraw(ref store.Ref) {}

// Gone waits until nothing of a claim that was withdrawn is in etcd, or ctx
// ends. It returns at once for one that is not known.
func (p *Publisher) Gone(ctx context.Context, ref store.Ref) error { return nil }

// State tells how a claim stands, and why where it is failing.
func (p *Publisher) State(ref store.Ref) (State, error) { return Absent, nil }

// Away tells since when and why etcd does not answer; the zero time while it
// does.
func (p *Publisher) Away() (time.Time, error) { return time.Time{}, nil }
