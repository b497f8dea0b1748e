// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
)

func TestRequestsDoNotWaitForEachOther(t *testing.T) {
	const containers = 20
	var arrived atomic.Int32
	all := make(chan struct{})
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{OnAdd: func(ctx context.Context, r attach.Request) (attach.Result, error) {
		if arrived.Add(1) == containers {
			close(all)
		}
		select {
		case <-all:
			return recorder.Sample(r), nil
		case <-ctx.Done():
			return attach.Result{}, ctx.Err()
		}
	}})
	var group sync.WaitGroup
	for i := range containers {
		group.Go(func() {
			if reply, err := exchange(t.Context(), socket, addRequest(fmt.Sprint("c", i))); err != nil || reply.Status != 0 {
				t.Errorf("%s, %v", reply.Stdout, err)
			}
		})
	}
	group.Wait()
}

func TestBoundEndsAVerb(t *testing.T) {
	bounds := cniserver.DefaultBounds()
	bounds.Add = 50 * time.Millisecond
	socket, _ := start(t, cniserver.Config{Bounds: bounds}, &recorder.Recorder{OnAdd: func(ctx context.Context, _ attach.Request) (attach.Result, error) {
		<-ctx.Done()
		return attach.Result{}, fmt.Errorf("tap1: %w", ctx.Err())
	}})
	want := cniError{"1.1.0", cniwire.CodeTryAgainLater, "ADD: not done within 50ms: tap1: context deadline exceeded"}
	if diff := cmp.Diff(want, wantError(t, ask(t, socket, addRequest("c1")))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHangupEndsAddButNotDel(t *testing.T) {
	causes := make(chan error, 1)
	deleted := make(chan error, 1)
	goOn := make(chan struct{})
	begun := make(chan struct{})
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{
		OnAdd: func(ctx context.Context, _ attach.Request) (attach.Result, error) {
			close(begun)
			<-ctx.Done()
			causes <- context.Cause(ctx)
			<-goOn
			return attach.Result{}, ctx.Err()
		},
		OnDel: func(ctx context.Context, _ attach.Request) error {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond): // time in which it would be noticed
			}
			deleted <- ctx.Err()
			return nil
		},
	})
	add := send(t, socket, addRequest("c1"))
	wait(t, "ADD", begun)
	add.Close() // the runtime killed polynic-cni
	if cause := wait(t, "the end of ADD", causes); cause == nil || errors.Is(cause, context.DeadlineExceeded) {
		t.Errorf("ADD was ended by %v", cause)
	}
	send(t, socket, delRequest("c1")).Close()
	close(goOn)
	if err := wait(t, "DEL", deleted); err != nil {
		t.Errorf("DEL was ended with its caller: %v", err)
	}
}
