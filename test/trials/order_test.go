// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/test/harness"
)

var orders = flag.Int("orders", 200, "how many orders of requests for two sandboxes of a pod are tried")

const pairOfTypes = "tap1/tap, veth1/veth"

// TestLateAddOfOldSandbox has a pod deleted and made anew under the same name,
// or get another sandbox, and what the runtime asks for both come in any order,
// or at once: the new one is wired and stays so, the old one is refused once it
// was deleted or its pod replaced, and no request for one touches the other.
func TestLateAddOfOldSandbox(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	var left []*harness.Pod
	for run := range *orders {
		o := newOrder(n, run)
		if o.play(); o.failed != "" {
			t.Fatalf("run %d: %s: %s", run, o, o.failed)
		}
		o.old.MustDel() // the runtime's last word on it
		expectWired(t, o.young, o.result)
		o.young.MustDel()
		if t.Failed() {
			t.Fatalf("run %d: %s", run, o)
		}
		left = append(left, o.old, o.young)
		if len(left) < 20 && run < *orders-1 {
			continue
		}
		n.ExpectClean(baseline)
		expectEmptied(t, n, left...)
		for _, p := range left {
			p.Destroy()
		}
		left = nil
	}
}

// order is one sequence of steps; those of one inner list happen at once.
type order struct {
	n          *harness.Node
	old, young *harness.Pod
	steps      [][]string

	mu sync.Mutex
	// What has been answered so far: the old sandbox was added, was deleted;
	// its pod was replaced.
	added, deleted, replaced bool
	// late says that the old sandbox had no claim any more before this step. An
	// ADD that is repeated for one that is attached is answered again.
	late   bool
	result *types100.Result // of the new sandbox
	failed string
}

func newOrder(n *harness.Node, run int) *order {
	name := fmt.Sprintf("web-%d", run)
	n.WritePod(name, "old", pairOfTypes)
	o := &order{n: n, old: n.Sandbox(name, "old"), young: n.Sandbox(name, []string{"young", "old"}[run%2])}
	steps := []string{"add old", "del old", "add young", "add old", "del old"}
	rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, s := range steps {
		if last := len(o.steps) - 1; last >= 0 && rand.IntN(3) == 0 {
			o.steps[last] = append(o.steps[last], s)
		} else {
			o.steps = append(o.steps, []string{s})
		}
	}
	return o
}

// String is the order as one line.
func (o *order) String() string {
	var all []string
	for _, s := range o.steps {
		all = append(all, strings.Join(s, " | "))
	}
	return strings.Join(all, ", ")
}

func (o *order) play() {
	for _, together := range o.steps {
		o.late = o.deleted || o.replaced && !o.added
		var running sync.WaitGroup
		for _, step := range together {
			running.Go(func() { o.step(step) })
		}
		running.Wait()
	}
}

// step makes one request.
func (o *order) step(step string) {
	var err error
	switch step {
	case "add old":
		_, refused := o.old.Add() // as it may be at any time: a DEL may come at once
		if refused == nil {
			o.note(func() { o.added = true })
		}
		if o.late && refused == nil {
			err = errors.New("the old sandbox was added")
		}
	case "del old":
		err = o.old.Del()
		o.note(func() { o.deleted = true })
	default:
		o.n.WritePod(o.young.Name, o.young.UID, pairOfTypes)
		var result *types100.Result
		result, err = o.young.Add()
		o.note(func() { o.replaced, o.result = o.young.UID != o.old.UID, result })
	}
	if err != nil {
		o.note(func() { o.failed = fmt.Sprintf("%s: %v", step, err) })
	}
}

func (o *order) note(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}
