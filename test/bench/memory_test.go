// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// relayMemory is that of the relay and of its parent.
func relayMemory(t *testing.T, p *harness.Process) int {
	t.Helper()
	sum := memory(t, p)
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range children {
		pids, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for pid := range strings.FieldsSeq(string(pids)) {
			number, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			bytes, err := figure.Anonymous(number)
			if err != nil {
				t.Fatal(err)
			}
			sum += bytes
		}
	}
	return sum
}

// memory is what a process has of its own, in bytes: the anonymous part of its
// resident memory.
func memory(t *testing.T, p *harness.Process) int {
	t.Helper()
	bytes, err := figure.Anonymous(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// burstMemory is the moving part of P10: a burst needs hardly more than what
// its pods need afterwards.
func burstMemory(t *testing.T, s *sheet) {
	t.Helper()
	n := startNode(t)
	pods := n.pool(s.pods * 3 / 2)
	idle := memory(t, n.Agent)
	ended := make(chan error, 1)
	go func() {
		ended <- inParallel(pods, func(p *harness.Pod) error { _, err := n.add(p); return err })
	}()
	peak := idle
	err := harness.Poll(time.Minute, func() error {
		peak = max(peak, memory(t, n.Agent))
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return nil
		default:
			return errors.New("the burst goes on")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	steady := memory(t, n.Agent)
	n.RestartAgent()
	fresh := memory(t, n.Agent)
	s.Value(fmt.Sprintf("P10 agent's peak in a burst of %d pods vs after it", len(pods)), float64(peak)/float64(steady), "x", figure.AtMost(1.3))
	s.Note("RssAnon in MiB: idle %.1f, peak %.1f, after the burst %.1f, of a restarted agent %.1f", figure.MiB(idle), figure.MiB(peak), figure.MiB(steady), figure.MiB(fresh))
	info, err := os.Stat(harness.Bin("polynic-cni"))
	if err != nil {
		t.Fatal(err)
	}
	s.Value("P10 size of polynic-cni", float64(info.Size())/1e6, " MB", figure.AtMost(4))
}
