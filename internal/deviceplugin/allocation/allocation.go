// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package allocation keeps what kubelet was given for containers that ask for
// memif devices. An allocation is a private folder and a secret. Kubelet asks
// for it once, before it knows that the container will run, and goes on using
// it when the agent, kubelet or the machine were restarted; and it never tells
// that it needs it no more.
package allocation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/failpoint"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// Journal remembers allocations over restarts and reboots.
type Journal interface {
	PutAllocation(a model.MemifAllocation) error
	DeleteAllocation(id string) error
}

// Store holds the allocations. All methods may be called concurrently.
type Store struct {
	dir     memifdir.Dir
	notes   notes
	journal Journal

	mu     sync.Mutex
	held   []*held // the oldest first
	moment Moment
	// stray is since when folders are known that are of no allocation.
	stray map[string]time.Time
}

type held struct {
	model.MemifAllocation
	// superseded is since when a newer allocation has one of the devices; zero
	// while none has.
	superseded time.Time
	// seen is the kubelet that listed the devices last, zero for none, and
	// seenAt when that was.
	seen   uint64
	seenAt Moment
}

// Moment orders what is found and what is swept.
type Moment uint64

// New makes a store without allocations. Restore comes before anything else.
func New(dir memifdir.Dir, journal Journal) *Store {
	return &Store{dir: dir, notes: newNotes(dir), journal: journal, stray: map[string]time.Time{}}
}

// Restore takes up what the journal kept, in the order in which it was given,
// and makes the folders that went with a reboot. That of an id that is used
// is not made: a container has another one mounted, where nobody would see a new
// socket. What the journal does not know, and is noted beside a folder that is
// there, is taken up too, and written down again. The error tells of folders that
// are missing or cannot be made; all the rest is taken up.
func (s *Store) Restore(found []model.MemifAllocation, used map[string]bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	noted, err := s.notes.read()
	errs := []error{err}
	for _, a := range found {
		var err error
		if used[a.ID] {
			err = s.dir.Check(a.ID)
		}
		if err == nil {
			err = s.dir.Make(a.ID)
		}
		if err == nil && !contains(noted, a.ID) { // the machine was started anew
			err = s.notes.put(a)
		}
		errs = append(errs, err)
	}
	all := slices.Clone(found)
	for _, a := range noted {
		if contains(found, a.ID) {
			continue
		}
		isThere, err := s.adopt(a)
		if isThere {
			all = append(all, a)
		}
		errs = append(errs, err)
	}
	slices.SortStableFunc(all, func(a, b model.MemifAllocation) int { return cmp.Compare(a.Given, b.Given) })
	for _, a := range all {
		s.add(a)
	}
	return errors.Join(errs...)
}

// adopt writes down what the journal lost, and forgets what has no folder.
func (s *Store) adopt(noted model.MemifAllocation) (isThere bool, err error) {
	if err := s.dir.Check(noted.ID); errors.Is(err, memifdir.ErrMissing) {
		return false, s.notes.remove(noted.ID)
	}
	return true, s.journal.PutAllocation(noted)
}

func contains(list []model.MemifAllocation, id string) bool {
	return slices.ContainsFunc(list, func(a model.MemifAllocation) bool { return a.ID == id })
}

// Allocate gives a container that gets these devices a folder and a secret. It
// returns once both are on the disk. When it fails nothing is given.
func (s *Store) Allocate(devices []string) (model.MemifAllocation, error) {
	devices = slices.Clone(devices)
	slices.Sort(devices)
	if len(devices) == 0 || len(slices.Compact(slices.Clone(devices))) < len(devices) {
		return model.MemifAllocation{}, fmt.Errorf("memif devices [%s]: want at least one, and each once", strings.Join(devices, ", "))
	}
	a := model.MemifAllocation{ID: randomText(), Devices: devices, Secret: model.NewSecret(randomText()), Given: time.Now().UnixMicro()}
	// Written down first: a folder that is not is found again by its note alone.
	err := s.journal.PutAllocation(a)
	failpoint.Hit("allocate-journaled")
	if err == nil {
		if err = errors.Join(s.dir.Make(a.ID), s.notes.put(a)); err != nil {
			err = errors.Join(err, s.dir.Remove(context.Background(), a.ID), s.notes.remove(a.ID), s.journal.DeleteAllocation(a.ID))
		}
	}
	failpoint.Hit("allocate-folder")
	if err != nil {
		return model.MemifAllocation{}, fmt.Errorf("memif devices [%s]: %w", strings.Join(devices, ", "), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(a)
	return a, nil
}

// add is called with mu held.
func (s *Store) add(a model.MemifAllocation) {
	since := time.Now()
	if given := time.UnixMicro(a.Given); a.Given != 0 && given.Before(since) {
		since = given
	}
	for _, older := range s.held {
		if older.superseded.IsZero() && overlap(older.Devices, a.Devices) {
			older.superseded = since
		}
	}
	s.held = append(s.held, &held{MemifAllocation: a})
}

// Find gives the allocation of a container that has the devices, and no others,
// as a kubelet says (Sight.Kubelet). The error wraps ErrUnknown where there is none, and memifdir.ErrMissing where
// its folder is gone.
func (s *Store) Find(kubelet uint64, devices []string) (model.MemifAllocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.newest(devices)
	if h == nil {
		return model.MemifAllocation{}, fmt.Errorf("memif devices [%s]: %w", strings.Join(devices, ", "), ErrUnknown)
	}
	s.moment++
	h.seen, h.seenAt = kubelet, s.moment
	return h.MemifAllocation, s.dir.Check(h.ID)
}

// newest is the allocation of exactly these devices, provided that none of them
// was given again since.
func (s *Store) newest(devices []string) *held {
	for _, h := range slices.Backward(s.held) {
		if overlap(h.Devices, devices) {
			if len(h.Devices) == len(devices) && !slices.ContainsFunc(h.Devices, func(d string) bool { return !slices.Contains(devices, d) }) {
				return h
			}
			return nil
		}
	}
	return nil
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(d string) bool { return slices.Contains(b, d) })
}

// Secret gives the secret of an allocation; that of one that is not held is empty.
func (s *Store) Secret(id string) model.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if h.ID == id {
			return h.MemifAllocation.Secret
		}
	}
	return model.Secret{}
}

// Free forgets an allocation, and removes its folder. That comes first: one that
// is not written down is not found again for a while.
func (s *Store) Free(ctx context.Context, id string) error {
	if err := s.dir.Remove(ctx, id); err != nil {
		return err
	}
	failpoint.Hit("free-folder")
	err := errors.Join(s.notes.remove(id), s.journal.DeleteAllocation(id))
	failpoint.Hit("free-journaled")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = slices.DeleteFunc(s.held, func(h *held) bool { return h.ID == id })
	return err
}
