// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation

import (
	"context"
	"errors"
	"slices"
	"time"
)

// supersededLimit is how long an allocation is kept of which a newer one has a
// device. A pod's container inherits the devices of its init containers, and is
// allocated together with them: that they are superseded does not mean that
// they are done.
const supersededLimit = 10 * time.Minute

// strayLimit is how long a folder is kept that is of no allocation.
const strayLimit = 10 * time.Minute

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
//
// Folders of no allocation, those of a lost journal, go when nobody was seen to
// use them for ten minutes.
func (s *Store) Sweep(ctx context.Context, sight Sight) error {
	var errs []error
	for _, id := range s.unneeded(sight) {
		if err := s.Free(ctx, id); err != nil {
			errs = append(errs, err)
		}
	}
	strays, err := s.strays(sight)
	errs = append(errs, err)
	for _, id := range strays {
		errs = append(errs, s.dir.Remove(ctx, id))
	}
	return errors.Join(errs...)
}

// strays lists the folders of no allocation that nobody can have. While kubelet
// lists devices that nothing is known of, each may be somebody's.
func (s *Store) strays(sight Sight) ([]string, error) {
	folders, err := s.dir.List()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	isAnybodys := slices.ContainsFunc(sight.Listed, func(devices []string) bool { return s.newest(devices) == nil })
	now, before := time.Now(), s.stray
	s.stray = map[string]time.Time{}
	var ids []string
	for _, id := range folders {
		if isAnybodys || sight.Used[id] || slices.ContainsFunc(s.held, func(h *held) bool { return h.ID == id }) {
			continue
		}
		since, ok := before[id]
		if !ok {
			since = now
		}
		if s.stray[id] = since; now.Sub(since) >= strayLimit {
			ids = append(ids, id)
		}
	}
	return ids, nil
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

// IsEmpty reports whether there is nothing that a Sweep could be about.
func (s *Store) IsEmpty() bool {
	folders, err := s.dir.List()
	return s.Held() == 0 && err == nil && len(folders) == 0
}
