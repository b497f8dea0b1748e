// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/services"
)

// cluster is what nodes are told, and tells it back.
type cluster struct {
	publisher *services.Publisher

	mu  sync.Mutex
	err error
	// refuses has the pods of which it hears nothing.
	refuses map[string]bool
	has     map[string]model.Redirect
	told    []string
}

func (c *cluster) Publish(_ context.Context, r model.Redirect) error {
	if c.isRefused(r.Pod) {
		return errors.New("forbidden")
	}
	return c.ask(fmt.Sprint("publish ", r.Pod.UID, " ", r.Interface, " ", r.Addresses), func() {
		for n, a := range r.Addresses {
			part := r
			part.Addresses = []netip.Addr{a}
			c.put(fmt.Sprint(r.Pod.UID, "/", n), part)
		}
	})
}

func (c *cluster) Withdraw(_ context.Context, pod model.PodRef) error {
	return c.ask("withdraw "+pod.UID, func() {
		for source, r := range maps.Clone(c.has) {
			if r.Pod == pod {
				delete(c.has, source)
				c.publisher.HasNot(source)
			}
		}
	})
}

func (c *cluster) ask(what string, do func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.told = append(c.told, what)
	do()
	return nil
}

func (c *cluster) put(source string, r model.Redirect) {
	c.has[source] = r
	c.publisher.Has(source, r)
}

func (c *cluster) isRefused(pod model.PodRef) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuses[pod.UID]
}

func (c *cluster) refuse(uids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses = map[string]bool{}
	for _, uid := range uids {
		c.refuses[uid] = true
	}
}

func (c *cluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// expect waits until nothing goes on, and compares what was told since the last time.
func (c *cluster) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.told)
	if diff := cmp.Diff(want, c.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	c.told = nil
}

func publish(t *testing.T, test func(*cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{has: map[string]model.Redirect{}}
		c.publisher = services.NewPublisher(slog.New(slog.DiscardHandler), c, "here")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := c.publisher.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		test(c)
	})
}

func here(n int) model.Redirect {
	r := toTap(n)
	r.Node = "here"
	return r
}

// The cluster is told what it does not have, once, and what is wrong goes.
func TestPublish(t *testing.T) {
	publish(t, func(c *cluster) {
		// Left by an agent before: one that is right, one of a pod that is gone, and one
		// of another node.
		c.put("1/0", here(1))
		c.put("7/0", here(7))
		elsewhere := here(8)
		elsewhere.Node = "there"
		c.put("8/0", elsewhere)
		time.Sleep(time.Hour)
		c.expect(t) // nothing is known of the pods here yet

		c.publisher.SetLocal([]model.Redirect{here(1), here(2)})
		c.expect(t, "publish 2 tap1 [10.2.0.2]", "withdraw 7")
		time.Sleep(time.Hour)
		c.expect(t)

		moved := here(2)
		moved.Interface = "veth1"
		c.publisher.SetLocal([]model.Redirect{here(1), moved})
		c.expect(t, "publish 2 veth1 [10.2.0.2]")
		c.publisher.HasNot("1/0") // somebody deleted it
		time.Sleep(time.Minute)
		c.expect(t, "publish 1 tap1 [10.2.0.1]")
		c.publisher.SetLocal(nil)
		time.Sleep(time.Minute)
		c.expect(t, "withdraw 1", "withdraw 2")
	})
}

func TestPublishIsTriedAgain(t *testing.T) {
	publish(t, func(c *cluster) {
		c.fail(errors.New("the API server is away"))
		c.publisher.SetLocal([]model.Redirect{here(1)})
		time.Sleep(time.Minute)
		c.expect(t)
		c.fail(nil)
		time.Sleep(5 * time.Minute)
		c.expect(t, "publish 1 tap1 [10.2.0.1]")
	})
}

// What the cluster refuses of one pod, as in a namespace that is going, keeps it from
// learning of no other, then and later.
func TestPublishOfOthersThanTheRefused(t *testing.T) {
	publish(t, func(c *cluster) {
		c.put("7/0", here(7))
		c.refuse("1")
		c.publisher.SetLocal([]model.Redirect{here(1), here(2)})
		c.expect(t, "publish 2 tap1 [10.2.0.2]", "withdraw 7")
		time.Sleep(time.Hour)
		c.publisher.SetLocal([]model.Redirect{here(1), here(2), here(3)})
		c.expect(t, "publish 3 tap1 [10.2.0.3]")
		c.refuse()
		time.Sleep(5 * time.Minute)
		c.expect(t, "publish 1 tap1 [10.2.0.1]")
		time.Sleep(time.Hour)
		c.expect(t)
	})
}
