// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/polynic/polynic/internal/model"
)

func TestTurnsOfOneContainer(t *testing.T) {
	turns := newTurns()
	var busy sync.Map // container ids
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() {
			id := fmt.Sprint("c", i%3)
			done, err := turns.container(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			if _, taken := busy.LoadOrStore(id, nil); taken {
				t.Errorf("two are on at once for %s", id)
			}
			runtime.Gosched()
			busy.Delete(id)
			done()
		})
	}
	group.Wait()
}

func TestGCKnowsTheAddsThatHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		early := model.AttachmentID{ContainerID: "early", IfName: "eth0"}
		ended, err := turns.add(t.Context(), early)
		if err != nil {
			t.Fatal(err)
		}
		begun, collected, err := turns.collect(t.Context())
		if err != nil || !slices.Equal(begun, []model.AttachmentID{early}) {
			t.Errorf("GC is told of %v, %v", begun, err)
		}
		late := make(chan error, 1)
		go func() {
			_, err := turns.add(t.Context(), model.AttachmentID{ContainerID: "late"})
			late <- err
		}()
		ended()
		synctest.Wait()
		select {
		case err := <-late:
			t.Errorf("an ADD began during GC: %v", err)
		default:
		}
		collected()
		if err := <-late; err != nil {
			t.Error(err)
		}
	})
}

// A node sees a great many container ids in its life; none is kept.
func TestTurnsForgetContainers(t *testing.T) {
	turns := newTurns()
	done, err := turns.container(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	ended, err := turns.add(t.Context(), model.AttachmentID{ContainerID: "c1", IfName: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.container(impatient, "c1"); !errors.Is(err, context.Canceled) {
		t.Errorf("second request: %v, want it to wait until its context ends", err)
	}
	ended()
	done()
	if len(turns.containers) > 0 || len(turns.adding) > 0 {
		t.Errorf("still known: %v, %v", turns.containers, turns.adding)
	}
}
