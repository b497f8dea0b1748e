// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/nl"
)

// parallelPods bounds how many pods are cleaned at once by a Reap: each waits
// for grace periods of the kernel, and those overlap.
const parallelPods = 8

// endKey is one interface of one pod.
type endKey struct {
	netns model.Netns
	name  string
}

// leftEnd is what a removed port leaves in a pod.
type leftEnd struct {
	desired.PodEnd
	owner desired.Owner
}

// Reap implements dataplane.Driver: one delete for all links that were cut
// off, in every network's namespace, and then what is left in pods that live.
func (d *Driver) Reap(context.Context) (map[desired.Owner]error, error) {
	failpoint.Hit("reap")
	var errs []error
	for _, space := range d.spaces() {
		if !space.usable() {
			continue
		}
		if err := nl.DeleteGroup(space.ns, leavingGroup); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", space.network, err))
		}
	}
	return d.cleanEnds(), errors.Join(errs...)
}

// cleanEnds removes what is left in pods, several at once. Those where it
// cannot are listed, and tried again by the next Reap.
func (d *Driver) cleanEnds() map[desired.Owner]error {
	var mu sync.Mutex
	left := map[desired.Owner]error{}
	var group errgroup.Group
	group.SetLimit(parallelPods)
	for _, end := range d.takeEnds() {
		group.Go(func() error {
			err := cleanEnd(end.PodEnd)
			if err == nil {
				return nil
			}
			d.leaveEnd(end.owner, end.PodEnd)
			mu.Lock()
			defer mu.Unlock()
			left[end.owner] = errors.Join(left[end.owner], fmt.Errorf("%s in %s: %w", end.Name, end.Netns.Path, err))
			return nil
		})
	}
	_ = group.Wait() // every error is in left
	return left
}

// leaveEnd has the next Reap clean up what a removed port leaves in a pod whose
// namespace lives on: a tap device (a veth's end goes with its peer) and the
// rules, which do not go with the link that they name.
func (d *Driver) leaveEnd(owner desired.Owner, end desired.PodEnd) {
	if end.Netns.Path == "" {
		return
	}
	d.reapMu.Lock()
	defer d.reapMu.Unlock()
	d.ends[endKey{end.Netns, end.Name}] = leftEnd{PodEnd: end, owner: owner}
}

// keepEnd takes an end back that is made again before it was cleaned up.
func (d *Driver) keepEnd(end desired.PodEnd) {
	d.reapMu.Lock()
	defer d.reapMu.Unlock()
	delete(d.ends, endKey{end.Netns, end.Name})
}

func (d *Driver) takeEnds() map[endKey]leftEnd {
	d.reapMu.Lock()
	defer d.reapMu.Unlock()
	ends := d.ends
	d.ends = map[endKey]leftEnd{}
	return ends
}

func cleanEnd(end desired.PodEnd) error {
	pod, err := openPod(end.Netns)
	if errors.Is(err, dataplane.ErrNetnsGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pod.close()
	if err := removeRules(pod, end); err != nil {
		return err
	}
	link, err := pod.socket.Link(end.Name)
	if err != nil || link.Kind != tapKind || link.MAC != end.MAC {
		return nil // gone, or not the tap that was ours
	}
	var d nl.Batch
	d.DelLink(link.Index).OnError(func(err error) error {
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return fmt.Errorf("delete the tap: %w", err)
	})
	return pod.socket.Do(&d)
}

// removeRules removes the rules of an interface: those that name it, and those
// that lead to the same table, which no other has. Of a stray nothing is known
// but its name.
func removeRules(pod *pod, end desired.PodEnd) error {
	rules, err := pod.socket.Rules(protocol)
	if err != nil {
		return err
	}
	tables := map[int]bool{}
	for _, r := range end.Rules {
		tables[r.Table] = true
	}
	for _, r := range rules {
		if r.Link == end.Name {
			tables[r.Table] = true
		}
	}
	var b nl.Batch
	for _, r := range rules {
		if !tables[r.Table] {
			continue
		}
		b.DelRule(r).OnError(func(err error) error {
			if errors.Is(err, unix.ENOENT) {
				return nil
			}
			return fmt.Errorf("remove the rule that leads to table %d: %w", r.Table, err)
		})
	}
	return pod.socket.Do(&b)
}
