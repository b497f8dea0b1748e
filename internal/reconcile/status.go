// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"maps"
	"slices"
	"time"

	"github.com/polynic/polynic/internal/desired"
)

// State is how one owner stands.
type State uint8

// The states.
const (
	// Absent owners have nothing and want nothing.
	Absent State = iota
	// Pending owners lack something of what they want, and no attempt to make it
	// has failed.
	Pending
	// Ready owners have what they want, as far as is known: that they are to be
	// looked at says nothing against them.
	Ready
	// Failing owners met an error at the last attempt; it is retried.
	Failing
)

// String is the word that users see.
func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Pending:
		return "pending"
	case Ready:
		return "up"
	case Failing:
		return "failing"
	default:
		return "unknown"
	}
}

// State tells how an owner stands, and why where it is failing.
func (r *Reconciler) State(owner desired.Owner) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(owner)
}

func (r *Reconciler) state(owner desired.Owner) (State, error) {
	e := r.owners[owner]
	switch {
	case e == nil || len(e.want) == 0:
		return Absent, nil
	case e.err != nil:
		return Failing, e.err
	case len(desired.Diff(e.have, e.want)) > 0:
		return Pending, nil
	default:
		return Ready, nil
	}
}

// InterfaceState is State of one pod interface of an owner: ready where the last
// look found it as planned, whatever became of the others.
func (r *Reconciler) InterfaceState(owner desired.Owner, name string) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, err := r.state(owner)
	e := r.owners[owner]
	var changes []desired.Change
	switch state {
	case Absent, Ready:
		return state, err
	case Pending:
		changes = desired.Diff(e.have, e.want)
	case Failing:
		changes = e.changes
	}
	if len(changes) > 0 && !slices.ContainsFunc(changes, func(c desired.Change) bool { return c.Interface() == name }) {
		return Ready, nil
	}
	return state, err
}

// Wanted lists every object that should be, as one set.
func (r *Reconciler) Wanted() desired.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := desired.Set{}
	for _, e := range r.owners {
		maps.Copy(all, e.want)
	}
	return all
}

// Away tells since when and why the dataplane, or a part of it, does not
// answer; the zero time while it does.
func (r *Reconciler) Away() (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.away.since, r.away.reason
}
