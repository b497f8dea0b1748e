// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// state is what the driver must remember over its own restart and cannot read
// back from the kernel.
type state struct {
	// ForwardingWasOff lists the settings that were off before us.
	ForwardingWasOff []string `json:"forwardingWasOff,omitempty"`
	// Ruleset is what we gave to nft, and Listing what nft printed right
	// after: as long as both are the same, nobody altered our table.
	Ruleset string `json:"ruleset,omitempty"`
	Listing string `json:"listing,omitempty"`
}

func (s *state) forwardingWasOff(setting string) {
	if !slices.Contains(s.ForwardingWasOff, setting) {
		s.ForwardingWasOff = append(s.ForwardingWasOff, setting)
	}
}

// stateFile keeps the state in a file that is replaced whole. One that is
// damaged counts as empty: the table is then made anew.
type stateFile struct {
	path string
	mu   sync.Mutex
}

func (f *stateFile) read() (state, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.load()
}

func (f *stateFile) update(change func(*state)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.load()
	if err != nil {
		return err
	}
	change(&s)
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("dataplane state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("dataplane state: %w", err)
	}
	if err := os.WriteFile(f.path+".new", data, 0o600); err != nil {
		return fmt.Errorf("dataplane state: %w", err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		return fmt.Errorf("dataplane state: %w", err)
	}
	return nil
}

func (f *stateFile) load() (state, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("dataplane state: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		s = state{}
	}
	return s, nil
}

func (f *stateFile) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("dataplane state: %w", err)
	}
	return nil
}
