// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

// figures is how thoroughly to measure; the ordinary tests measure nothing.
var figures = flag.String("figures", "", "measure, how thoroughly: quick (some five minutes) or full (three times as long)")

// size is how much is measured.
type size struct {
	rounds  int // in which the contenders take turns
	singles int // pods that start alone, per round
	some    int // at once, where the time in the plugin is the question
	many    int // at once, where memory and the pods' start are
}

func sizes() map[string]size {
	return map[string]size{
		"trial": {rounds: 1, singles: 1, some: 3, many: 4},
		"quick": {rounds: 1, singles: 10, some: 50, many: 100},
		"full":  {rounds: 3, singles: 10, some: 50, many: 100},
	}
}

// bench is a cluster whose node has now one network plugin and now another.
type bench struct {
	*cluster
	size
	*figure.Sheet
	agent *harness.Node
	limit memoryLimit
	pods  *podWatch
	made  int // pods so far, for names
}

// TestFigures measures what the project promises of a cluster. The contenders
// take turns on one node, whose kubelet and containerd are the same for all.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("make bench-cluster measures")
	}
	how, ok := sizes()[*figures]
	if !ok {
		t.Fatalf("-figures %s: want trial, quick or full", *figures)
	}
	needPrograms(t)
	b := &bench{size: how, Sheet: &figure.Sheet{Out: os.Stdout}}
	b.NeedFiles(t, "all", referencePlugins+"/bridge", referencePlugins+"/host-local")
	multusProgram := kubebin.Need(t, "multus")
	b.Machine(t, "Multus v4.2.2 (thin)")
	b.cluster = startCluster(t)
	b.agent = b.startPolynic()
	b.node.WaitReady()
	b.limit = newMemoryLimit(t, "agent", 64<<20)
	b.agent.LogLevel = "info"
	b.limit.within(t, b.agent.RestartAgent)

	b.pods = b.watchPods()

	ours, theirs, bare := b.polynic(), b.multus(multusProgram), b.bridge()
	for range b.rounds {
		for _, c := range []*contender{theirs, ours} {
			b.alone(c)
			adds, _ := b.burst(c, b.some)
			add(&c.add, adds)
			b.remove()
		}
		b.memory(func() {
			_, starts := b.burst(ours, b.many)
			add(&ours.burst, starts)
		})
		b.remove()
		b.alone(bare)
		_, starts := b.burst(bare, b.many)
		add(&bare.burst, starts)
		b.remove()
	}
	b.compare(ours, theirs, bare)
	b.Sum()
}

func (b *bench) compare(ours, theirs, bare *contender) {
	faster := theirs.add.Median() / ours.add.Median()
	b.Ratio(fmt.Sprintf("C1 time in CNI ADD, %d pods with 4 custom interfaces at once, vs Multus", b.some),
		faster, figure.AtLeast(10), "ms", &ours.add, &theirs.add)
	b.Ratio("C1 the same, a pod at a time", theirs.addAlone.Median()/ours.addAlone.Median(),
		figure.AtLeast(10), "ms", &ours.addAlone, &theirs.addAlone)
	for _, p := range []int{50, 99} {
		b.Ratio(fmt.Sprintf("C3 p%d from created to Ready, a pod at a time, vs the bridge plugin alone", p),
			ours.alone.Percentile(p)/bare.alone.Percentile(p), figure.Goal{}, "ms", &ours.alone, &bare.alone)
		b.Note("p%d in ms: polynic %s, bridge %s, Multus %s", p, figure.Number(ours.alone.Percentile(p)),
			figure.Number(bare.alone.Percentile(p)), figure.Number(theirs.alone.Percentile(p)))
		b.Ratio(fmt.Sprintf("C3 p%d from created to Ready, %d pods at once, vs the bridge plugin alone", p, b.many),
			ours.burst.Percentile(p)/bare.burst.Percentile(p), figure.Goal{}, "ms", &ours.burst, &bare.burst)
		b.Note("p%d in ms: polynic %s, bridge %s", p,
			figure.Number(ours.burst.Percentile(p)), figure.Number(bare.burst.Percentile(p)))
	}
	b.Note("load at the end: %s", figure.Load())
}
