// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// podWatch knows when pods were seen for the first time, and when ready. The
// clock is the one here: the API's own times are whole seconds.
type podWatch struct {
	mu             sync.Mutex
	created, ready map[string]time.Time
}

// watchPods watches until the end of the test.
func (b *bench) watchPods() *podWatch {
	b.t.Helper()
	w := &podWatch{created: map[string]time.Time{}, ready: map[string]time.Time{}}
	cmd := b.Command("get", "pods", "-l", "app=bench", "--watch",
		"-o", `jsonpath={.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}`)
	events, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { w.follow(events) })
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		done.Wait()
		_ = cmd.Wait()
	})
	return w
}

func (w *podWatch) follow(events io.Reader) {
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		now := time.Now()
		name, status, _ := strings.Cut(lines.Text(), " ")
		w.mu.Lock()
		if _, known := w.created[name]; !known {
			w.created[name] = now
		}
		if _, known := w.ready[name]; !known && status == "True" {
			w.ready[name] = now
		}
		w.mu.Unlock()
	}
}

// took is how long each of some pods was on its way from created to Ready.
func (w *podWatch) took(names []string) ([]time.Duration, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := make([]time.Duration, len(names))
	for i, name := range names {
		at, ok := w.ready[name]
		if !ok {
			return nil, fmt.Errorf("%s is not ready", name)
		}
		took[i] = at.Sub(w.created[name])
	}
	return took, nil
}
