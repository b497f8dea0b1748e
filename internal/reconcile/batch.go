// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// job is one owner's part of a batch, as it stood when the batch was taken.
type job struct {
	owner      desired.Owner
	want, have desired.Set
	unsure     bool
	asked      uint64
	changes    []desired.Change
}

// take picks the next batch and marks its owners busy. The node goes alone.
func (r *Reconciler) take() []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := &r.pending
	if !from.any(r.free) {
		from = &r.verify
	}
	batch := from.take(1, func(o desired.Owner) bool { return o.IsZero() && r.free(o) })
	if len(batch) == 0 {
		batch = from.take(maxBatch, r.free)
	}
	jobs := make([]job, 0, len(batch))
	for _, owner := range batch {
		e := r.owners[owner]
		jobs = append(jobs, job{
			owner: owner, want: e.want, have: e.have, asked: e.asked,
			unsure: e.unsure || from == &r.verify,
		})
		// A report that comes while the batch is out sets it again.
		e.busy, e.unsure = true, false
	}
	return jobs
}

// free reports whether an owner can be taken now. Until the node's own part was
// made once, or could not be, nobody else's can stand.
func (r *Reconciler) free(owner desired.Owner) bool {
	if r.owners[owner].busy {
		return false
	}
	node := r.owners[desired.Owner{}]
	return owner.IsZero() || node == nil || node.have != nil || node.err != nil
}

// process brings one batch to an end; every job is finished exactly once.
func (r *Reconciler) process(ctx context.Context, jobs []job) {
	jobs = r.look(ctx, jobs)
	byOwner := make(map[desired.Owner]job, len(jobs))
	var work []dataplane.Work
	for _, j := range jobs {
		j.changes = desired.Diff(j.have, j.want)
		if len(j.changes) == 0 {
			r.finish(j, nil)
			continue
		}
		byOwner[j.owner] = j
		work = append(work, dataplane.Work{Owner: j.owner, Changes: j.changes})
		r.logRepair(ctx, j)
	}
	if len(work) > 0 {
		r.driver.Apply(ctx, work, func(owner desired.Owner, err error) {
			r.finish(byOwner[owner], err)
		})
	}
}

// look reads back the owners of whom it is not sure what they have. One that
// is to go needs no look: what it may have is removed, whether it is there or
// not. Jobs that cannot be read are finished with the error.
func (r *Reconciler) look(ctx context.Context, jobs []job) []job {
	want := desired.Set{}
	for _, j := range jobs {
		if j.unsure && len(j.want) > 0 {
			maps.Copy(want, j.want)
		}
	}
	if len(want) == 0 {
		return jobs
	}
	have, err := r.driver.Observe(ctx, dataplane.Scope{Want: want})
	found := byOwner(have)
	var rest []job
	for _, j := range jobs {
		switch {
		case !j.unsure || len(j.want) == 0:
		case err != nil:
			r.finish(j, err)
			continue
		default:
			j.have = leftover(j.have, j.want)
			maps.Copy(j.have, found[j.owner])
			r.seen(j)
		}
		rest = append(rest, j)
	}
	return rest
}

// seen keeps what a look found, so that State tells it while it is being mended.
// What is kept of the node's own part says whether that was ever made.
func (r *Reconciler) seen(j job) {
	if j.owner.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owners[j.owner].have = j.have // busy with j, so it is there
}

// leftover is what an owner may have that it does not want: Observe was not
// asked for it, so it is taken to be there.
func leftover(have, want desired.Set) desired.Set {
	rest := desired.Set{}
	for k, o := range have {
		if _, ok := want[k]; !ok {
			rest[k] = o
		}
	}
	return rest
}

// finish records how a job ended and tells those who wait for it.
func (r *Reconciler) finish(j job, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.owners[j.owner]
	e.busy = false
	if err != nil && len(e.waiters) == 0 && (e.err == nil || e.err.Error() != err.Error()) {
		r.options.Log.Warn("cannot repair; trying again", slog.String("owner", j.owner.String()), slog.Any("error", err))
	}
	e.err, e.changes = err, nil
	if err == nil {
		e.have = j.want
		e.failures, e.told = 0, ""
	} else {
		e.have = desired.Set{}
		maps.Copy(e.have, j.have)
		maps.Copy(e.have, j.want)
		e.unsure = true
		e.changes = j.changes
		e.failures++
		r.retryLater(j.owner, e)
	}
	kept := e.waiters[:0]
	for _, w := range e.waiters {
		if w.asked > j.asked {
			kept = append(kept, w)
			continue
		}
		w.ready <- err
	}
	e.waiters = kept
	if err == nil && len(e.want) == 0 && e.asked == j.asked {
		r.drop(j.owner)
	}
}

// drop ends an owner that was cut off: nothing is left to compare, and the
// next reap makes an end of what it had.
func (r *Reconciler) drop(owner desired.Owner) {
	delete(r.owners, owner)
	r.pending.remove(owner)
	r.verify.remove(owner)
	r.leaving = append(r.leaving, owner)
	notify(r.reap)
}

// logRepair says what is mended, as opposed to made for the first time; of several
// attempts at the same, once.
func (r *Reconciler) logRepair(ctx context.Context, j job) {
	if !j.unsure || len(j.want) == 0 {
		return
	}
	changes := fmt.Sprint(j.changes)
	r.mu.Lock()
	e := r.owners[j.owner] // busy with j, so it is there
	isTold := e.told == changes
	e.told = changes
	r.mu.Unlock()
	if isTold {
		return
	}
	for _, c := range j.changes {
		r.options.Log.InfoContext(ctx, "repairing", slog.String("change", c.String()))
	}
}
