// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package dataplane is the contract between the plan and what switches: VPP,
// the Linux kernel, or the fake of the tests. The plan decides what there
// should be; a driver makes it so, says what there is, and decides nothing.
// Every driver passes the suite in package drivertest.
package dataplane

import (
	"context"
	"errors"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// Driver makes a node's dataplane as planned. Its methods may be called
// concurrently, but never for one owner at the same time; the caller sees to
// that. Every object a driver makes carries its owner as a mark in the
// dataplane itself, and nothing without that mark is ever altered or removed.
type Driver interface {
	// Observe reads what exists, within the scope. An object that exists with
	// other content is reported as it is, so that a diff shows it.
	Observe(ctx context.Context, scope Scope) (desired.Set, error)

	// Apply carries out work. An owner's changes are made in their order and
	// stop at the first that fails; its error names the object and the step.
	// Making what exists already as wanted, and removing what is gone, are no
	// errors. done is called once per element of work, from any goroutine, as
	// soon as that element's result is known; Apply returns after the last.
	//
	// A removed port is cut off when done is called: no packet passes it and
	// no file of it is open. It may go on existing, invisible to Observe,
	// until the next Reap.
	Apply(ctx context.Context, work []Work, done func(desired.Owner, error))

	// Reap returns once everything removed before the call is gone for good,
	// so that its addresses may be given to others. Owners of whom something is
	// left are listed with the reason; the next Reap tries these again. With an
	// error it is not known of anybody.
	Reap(ctx context.Context) (left map[desired.Owner]error, err error)

	// Watch reports what changed in the dataplane without our doing, until ctx
	// ends. It may report too much (the driver's own changes included), never
	// too little. report is not called concurrently and returns quickly.
	Watch(ctx context.Context, report func(Hit)) error

	// Close lets go of handles and leaves the dataplane as it is.
	Close() error
}

// Namer is a driver that can tell how the switch names a port's end; people who
// look into the switch ask for it.
type Namer interface {
	PortName(owner desired.Owner, port string) string
}

// Memifs is a driver that can tell how its memifs fare, by their keys; one that is
// not taken up at the moment is left out.
type Memifs interface {
	Memifs(ctx context.Context) (map[desired.Key]model.MemifStatus, error)
}

// Counters is a driver that can tell what passed through its veths and taps, by their
// keys; of memifs Memifs tells.
type Counters interface {
	Counters(ctx context.Context) (map[desired.Key]model.Counters, error)
}

// Scope bounds an Observe.
type Scope struct {
	// Want holds the objects to look for. What a pod's owner configured by
	// hand beside them is not reported.
	Want desired.Set
	// Everything adds every other port that carries our mark, whoever it
	// belonged to, with as much of its content as removing it takes.
	Everything bool
}

// Work is what is to be done for one owner.
type Work struct {
	Owner   desired.Owner
	Changes []desired.Change
}

// Hit is what a watch noticed.
type Hit struct {
	// Owners whose objects may have changed; the zero owner is the node.
	Owners []desired.Owner
	// All is set when anything may have changed: events were lost, or the
	// dataplane is back.
	All bool
	// Services is set when what ApplyServices made may have changed; of drivers that
	// resolve services.
	Services bool
	// Away is set when the dataplane, or a part of it, does not answer any
	// more, with the reason. A Hit with All and no Away says that it is back.
	Away error
}

// ErrAway is wrapped by errors that mean that the dataplane, or a part of it
// such as the relay, does not answer now: the same call may succeed later.
var ErrAway = errors.New("the dataplane does not answer")

// ErrNetnsGone is wrapped by errors that mean that the pod's network namespace
// is gone, or that its path means another namespace now.
var ErrNetnsGone = errors.New("the pod's network namespace is gone")

// ErrTaken is wrapped by errors that mean that something not ours has the name.
var ErrTaken = errors.New("the name is taken by something that is not polynic's")
