// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation

import (
	"context"
	"errors"
	"time"
)

// supersededLimit is how long an allocation is kept of which a newer one has a
// device. A pod's container inherits the devices of its init containers, and is
// allocated together with them: that they are superseded does not mean that
// they are done.
const supersededLimit = 10 * time.Minute

// Sight is who needs allocations at a moment.
type Sight struct {
	// Moment is from before the rest was looked up.
	Moment Moment
	// Kubelet tells one kubelet process from another, never zero. One that was
	// just started lists nothing, until it has heard of its pods.
	Kubelet uint64
	// Listed holds the devices of every container that it lists.
	Listed [][]string
	// Used are the ids of the allocations that attachments use.
	Used map[string]bool
}

// Sweep forgets what nobody can need any more: no attachment uses it, kubelet
// does not list its devices, and either the same kubelet did so before (at a
// Sweep or a Find), or the devices were given to others long since. All else is kept, at
// the most one allocation for each device. Sweep is called by one at a time.
func (s *Store) Sweep(ctx context.Context, sight Sight) error {
	var errs []error
	for _, id := range s.unneeded(sight) {
		if err := s.Free(ctx, id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) unneeded(sight Sight) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := map[*held]bool{}
	for _, devices := range sight.Listed {
		if h := s.newest(devices); h != nil {
			listed[h] = true
			h.seen, h.seenAt = sight.Kubelet, max(h.seenAt, sight.Moment)
		}
	}
	var ids []string
	for _, h := range s.held {
		wasListed := h.seen == sight.Kubelet && h.seenAt <= sight.Moment
		wasSuperseded := !h.superseded.IsZero() && time.Since(h.superseded) >= supersededLimit
		if !listed[h] && !sight.Used[h.ID] && (wasListed || wasSuperseded) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// Moment is now.
func (s *Store) Moment() Moment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moment
}

// Held is the number of allocations.
func (s *Store) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}
