// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shutGate is a shut gate before a pod path that attaches nothing.
func shutGate(t *testing.T) (g *gate, verbs *recorder.Recorder, stop context.CancelFunc) {
	t.Helper()
	verbs = &recorder.Recorder{}
	stopping, stop := context.WithCancel(t.Context())
	dir := t.TempDir()
	g = &gate{
		Verbs: verbs, readiness: newReadiness(), stopping: stopping.Done(),
		readyFile: filepath.Join(dir, cniwire.ReadyFile), awayLimit: time.Minute, tombstones: filepath.Join(dir, cniwire.TombstoneDir),
	}
	g.readiness.until("the pods are listed (dir:/pods)")
	return g, verbs, stop
}

func TestRequestsWaitAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, verbs, stop := shutGate(t)
		defer stop()
		done := make(chan error, 4)
		go func() { _, err := g.Add(t.Context(), attach.Request{}); done <- err }()
		go func() { done <- g.Del(t.Context(), attach.Request{}) }()
		go func() { done <- g.Check(t.Context(), attach.Request{}, attach.Result{}) }()
		go func() { done <- g.GC(t.Context(), "net", nil) }()
		synctest.Wait()
		if calls := verbs.Calls(); len(calls) > 0 {
			t.Errorf("served before it is ready: %v", calls)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.Add(late, attach.Request{})
		wantRefusal(t, err, cniwire.CodeTryAgainLater, "not ready until the pods are listed (dir:/pods)")
		g.readiness.set()
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if calls := verbs.Calls(); len(calls) != 4 {
			t.Errorf("served: %v", calls)
		}
	})
}

// STATUS says what is waited for, once the node has not been ready for so long
// that it matters.
func TestStatusAtTheGate(t *testing.T) {
	g, verbs, stop := shutGate(t)
	defer stop()
	wantRefusal(t, g.Status(t.Context()), cniwire.CodeNotAvailable, "not ready until the pods are listed (dir:/pods)")
	if err := os.WriteFile(g.readyFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Status(t.Context()); err != nil {
		t.Errorf("ready a moment ago: %v", err)
	}
	old := time.Now().Add(-2 * g.awayLimit)
	if err := os.Chtimes(g.readyFile, old, old); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, g.Status(t.Context()), cniwire.CodeNotAvailable, "not ready")
	if calls := verbs.Calls(); len(calls) > 0 {
		t.Errorf("asked before it is ready: %v", calls)
	}
	g.readiness.set()
	if err := g.Status(t.Context()); err != nil || len(verbs.Calls()) != 1 {
		t.Errorf("ready: %v", err)
	}
}

// An agent that stops before it was ready leaves DELs to the next.
func TestDelIsLeftToTheNextAgent(t *testing.T) {
	g, _, stop := shutGate(t)
	stop()
	id := model.AttachmentID{ContainerID: "c1", IfName: "eth0"}
	if err := g.Del(t.Context(), attach.Request{ID: id, Network: "net"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(g.tombstones, cniwire.TombstoneName("c1", "eth0")))
	if err != nil {
		t.Fatal(err)
	}
	if left, err := cniwire.ParseTombstone(text); err != nil || left != (cniwire.Tombstone{ContainerID: "c1", IfName: "eth0", Network: "net"}) {
		t.Errorf("left %+v, %v", left, err)
	}
	_, err = g.Add(t.Context(), attach.Request{ID: id})
	wantRefusal(t, err, cniwire.CodeTryAgainLater, "stopping")
}

// One that stops after it was ready does what came before.
func TestAnOpenGateStaysOpen(t *testing.T) {
	g, verbs, stop := shutGate(t)
	g.readiness.set()
	stop()
	for range 100 {
		if err := g.Del(t.Context(), attach.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(verbs.Calls()); n != 100 {
		t.Errorf("%d of 100 DELs were done", n)
	}
}

func wantRefusal(t *testing.T, err error, code cniwire.Code, words string) {
	t.Helper()
	if attach.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v (code %d), want code %d and %q", err, attach.CodeOf(err), code, words)
	}
}
