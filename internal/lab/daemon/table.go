// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/state"
)

var errBusy = errors.New("another command works on it; wait until that is done")

// table holds the pods. One at a time works on a pod.
type table struct {
	mu   sync.Mutex
	pods map[lab.Name]*pod
}

// pod is one pod as the daemon has it.
type pod struct {
	busy bool // of the table's mutex
	// watchers watch the pod's containers; they change the record.
	watchers sync.WaitGroup
	mu       sync.Mutex
	record   *lab.Pod // nil: there is no such pod
}

// take gives the pod to the caller alone, until it is put back. A pod that
// there is not has no record.
func (t *table) take(name lab.Name) (*pod, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pods[name]
	if p == nil {
		p = &pod{}
		if t.pods == nil {
			t.pods = map[lab.Name]*pod{}
		}
		t.pods[name] = p
	}
	if p.busy {
		return nil, fmt.Errorf("pod %s: %w", name, errBusy)
	}
	p.busy = true
	return p, nil
}

func (t *table) putBack(name lab.Name, p *pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.busy = false
	if p.record == nil {
		delete(t.pods, name)
	}
}

// names lists the pods in order.
func (t *table) names() []lab.Name {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Keys(t.pods), func(a, b lab.Name) int {
		return strings.Compare(a.String(), b.String())
	})
}

// update changes the record, and saves it.
func (p *pod) update(dir state.Dir, change func(*lab.Pod)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.record)
	return p.record.Write(dir)
}

// now is a copy of the record.
func (p *pod) now() lab.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	record := *p.record
	record.Containers = slices.Clone(record.Containers)
	return record
}
