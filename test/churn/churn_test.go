// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

var (
	long     = flag.Bool("long", false, "go on for a minute instead of 20 seconds")
	duration = flag.Duration("duration", 20*time.Second, "how long pods come and go")
)

const (
	workers = 64
	// linkRate is how many links of others come and go, each second.
	linkRate = 500
	// patience is how much longer a busy machine may take for enough.
	patience = 3 * time.Minute
)

// TestChurn has 64 workers add and delete pods with one to six interfaces while
// links of others come and go in the node's namespace: no error, no address or
// MAC at two pods at once, nothing left, no data race. There are fewer addresses
// than all of them want, so that one that is free is somebody else's at once.
func TestChurn(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) {
		c.Network.Subnets[0].NodePrefixLen, c.Network.Subnets[1].NodePrefixLen = 25, 121
	})
	baseline := n.MustLook()
	if *long {
		*duration = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), *duration+patience)
	defer cancel()
	c := &churn{node: n, claims: map[string]string{}, end: cancel}
	began := time.Now()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { c.work(ctx) })
	}
	running.Go(func() { c.endAfter(ctx, *duration) })
	if err := churnLinks(ctx, linkRate, &c.links); err != nil {
		t.Error(err)
	}
	running.Wait()
	took := time.Since(began).Round(time.Second)
	for _, err := range c.errs {
		t.Error(err)
	}
	t.Logf("%d pods with %d interfaces came and went in %s; %d ADDs found too few addresses; %d links of others",
		c.pods.Load(), c.interfaces.Load(), took, c.full.Load(), c.links.Load())
	if !c.enough(*duration) {
		t.Error("too little came and went")
	}
	n.ExpectClean(baseline)
	n.Agent.Stop()
	expectNoRace(t, n)
}

// churn is what the workers share.
type churn struct {
	node             *harness.Node
	end              func()
	pods, interfaces atomic.Int64
	full             atomic.Int64 // ADDs that found too few addresses
	links            atomic.Int64 // of others

	mu     sync.Mutex
	claims map[string]string // pod by address or MAC
	errs   []error
}

func (c *churn) work(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.pod(ctx); err != nil {
			c.mu.Lock()
			c.errs = append(c.errs, err)
			c.mu.Unlock()
			c.end()
		}
	}
}

// enough reports whether as much came and went as a duration is to see at least.
func (c *churn) enough(duration time.Duration) bool {
	return c.pods.Load() >= workers && c.full.Load() > 0 && c.links.Load() >= int64(duration.Seconds()*linkRate/10)
}

// endAfter ends all when the duration is over and enough came and went: a busy
// machine takes longer.
func (c *churn) endAfter(ctx context.Context, duration time.Duration) {
	over := time.After(duration)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			over = nil
		case <-tick.C:
			if over == nil && c.enough(duration) {
				c.end()
			}
		case <-ctx.Done():
			return
		}
	}
}

// pod is one pod's life. What it was given is its own until it is deleted.
func (c *churn) pod(ctx context.Context) error {
	annotation, count := anyInterfaces()
	p, err := c.node.NewPod(annotation)
	if err != nil {
		return err
	}
	result, err := c.add(ctx, p)
	if err != nil {
		return fmt.Errorf("ADD of %s (%s): %w", p.Name, annotation, err)
	}
	if err := c.claim(p.Name, result); err != nil {
		return err
	}
	if rand.IntN(4) == 0 {
		if err := p.Check(); err != nil { //nolint:contextcheck // a pod that was begun is ended
			return fmt.Errorf("CHECK of %s (%s): %w", p.Name, annotation, err)
		}
	}
	live(ctx)
	c.release(result)
	for range 1 + rand.IntN(2) {
		if err := p.Del(); err != nil { //nolint:contextcheck // likewise
			return fmt.Errorf("DEL of %s (%s): %w", p.Name, annotation, err)
		}
	}
	c.pods.Add(1)
	c.interfaces.Add(int64(count))
	p.Destroy()
	return c.node.DeletePod(p.Name)
}

// add is an ADD that is tried again, as a runtime does, until there are addresses.
func (c *churn) add(ctx context.Context, p *harness.Pod) (*types100.Result, error) {
	for {
		result, err := p.Add() //nolint:contextcheck // has a limit of its own
		if harness.CodeOf(err) != uint(cniwire.CodeTryAgainLater) || !strings.Contains(err.Error(), "are taken") {
			return result, err
		}
		c.full.Add(1)
		live(ctx)
	}
}

// live waits as long as a pod lives: 20 to 200 ms, and no longer than ctx.
func live(ctx context.Context) {
	end := time.NewTimer(20*time.Millisecond + rand.N(180*time.Millisecond))
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	}
}

// anyInterfaces is an annotation with up to five interfaces, beside eth0.
func anyInterfaces() (annotation string, count int) {
	var list []string
	for i := range rand.IntN(6) {
		list = append(list, fmt.Sprintf("if%d/%s%s", i, []string{"tap", "veth"}[rand.IntN(2)], []string{"", "", "/stub"}[rand.IntN(3)]))
	}
	return strings.Join(list, ","), len(list) + 1
}

// claim notes what a pod has, which no other pod may have until it is released.
func (c *churn) claim(pod string, result *types100.Result) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, mark := range harness.Marks(result) {
		if other := c.claims[mark]; other != "" {
			return fmt.Errorf("%s was given to %s, and %s has it", mark, pod, other)
		}
		c.claims[mark] = pod
	}
	return nil
}

func (c *churn) release(result *types100.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, mark := range harness.Marks(result) {
		delete(c.claims, mark)
	}
}

// expectNoRace looks through what agent and relay logged.
func expectNoRace(t *testing.T, n *harness.Node) {
	t.Helper()
	if os.Getenv(harness.RaceEnv) == "" {
		t.Log("without the race detector: there is no gcc to build it")
	}
	for _, name := range []string{"agent.log", "relay.log"} {
		data, err := os.ReadFile(filepath.Join(n.Dir, name))
		if err != nil {
			t.Error(err)
		}
		for _, word := range []string{"DATA RACE", "panic", "goroutine "} {
			if _, report, found := strings.Cut(string(data), word); found {
				t.Errorf("%s: %s%.3000s", name, word, report)
			}
		}
	}
}
