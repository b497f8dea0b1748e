// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

const (
	restarts = 20
	rate     = 50_000 // datagrams per second
	tapRate  = 5_000
	// losslessRate is what a tap's queue, of 500 packets, holds of half a second
	// in which the relay got no processor.
	losslessRate = 1_000
	// relayBack is how soon taps carry traffic again after the relay died.
	relayBack = 500 * time.Millisecond
)

// pair is two pods with traffic between an interface of each.
type pair struct {
	a, b            *harness.Pod
	resultA, result *types100.Result
}

func newPair(n *harness.Node) pair {
	p := pair{a: n.Pod(mixed), b: n.Pod(mixed)}
	p.resultA, p.result = p.a.MustAdd(), p.b.MustAdd()
	own, err := netns.Own()
	if err != nil {
		n.TB.Fatal(err)
	}
	defer own.Close()
	harness.WaitCalm(n.TB, own, p.a.Netns, p.b.Netns)
	return p
}

func (p pair) udp(t *testing.T, to string, perSecond int) *harness.Flow {
	t.Helper()
	return harness.UDP(t, p.a.Netns, p.b.Netns, harness.IP(p.result, to, 0), perSecond)
}

func (p pair) tcp(t *testing.T, to string) *harness.Flow {
	t.Helper()
	return harness.TCP(t, p.a.Netns, p.b.Netns, harness.IP(p.result, to, 1))
}

// TestAgentRestartsUnderTraffic kills and starts the agent again and again:
// no datagram is lost, on a veth or on a tap, the TCP connection lives, nothing
// is written to the kernel, no interface is ever called down, and requests are
// served again within 2 s.
func TestAgentRestartsUnderTraffic(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	p := newPair(n)
	stream := p.tcp(t, "tap1")
	flows := map[string]*harness.Flow{"eth0": p.udp(t, "eth0", rate), "tap3": p.udp(t, "tap3", losslessRate)}
	seen := watchChanges(t, p.a, p.b)
	for i := range restarts {
		if i%2 == 0 {
			n.Agent.Kill()
		} else {
			n.Agent.Stop()
		}
		start := time.Now()
		n.StartAgent()
		expectUpFromTheFirst(n)
		n.WaitReady()
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("ready only after %v", d)
		}
	}
	seen.End()
	for name, perSecond := range map[string]float64{"eth0": rate, "tap3": losslessRate} {
		r := flows[name].Stop()
		t.Logf("%s: %d datagrams sent in %.1f s, %.0f a second, %d lost", name, r.Sent, r.Seconds, r.Rate(), r.Lost())
		if r.Lost() != 0 {
			t.Errorf("%s: %d of %d datagrams lost", name, r.Lost(), r.Sent)
		}
		if enough := 0.9 * perSecond / harness.Patience(time.Second).Seconds(); r.Rate() < enough {
			t.Errorf("%s: only %.0f datagrams a second, want %.0f", name, r.Rate(), enough)
		}
	}
	if r := stream.Stop(); r.Lost() != 0 || r.Received == 0 {
		t.Errorf("TCP: %d bytes sent, %d received", r.Sent, r.Received)
	}
	if len(seen.Kinds) > 0 {
		t.Errorf("the kernel was written to: messages by type %v", seen.Kinds)
	}
	p.a.MustDel()
	p.b.MustDel()
	n.ExpectClean(baseline)
}

// expectUpFromTheFirst looks at the first answer of an agent that starts.
func expectUpFromTheFirst(n *harness.Node) {
	n.TB.Helper()
	var list []inspect.Interface
	harness.Eventually(n.TB, time.Minute, func() (err error) {
		list, err = inspect.NewClient(n.Config.InspectSocket()).Interfaces(n.TB.Context())
		return err
	})
	for _, i := range list {
		if i.State != inspect.StateUp {
			n.TB.Errorf("%s/%s %s is %s: %s", i.Namespace, i.Pod, i.Name, i.State, i.Reason)
		}
	}
	if len(list) == 0 {
		n.TB.Error("no interface is known")
	}
}

// TestRelayKilledUnderTraffic kills the relay's worker: veth traffic goes on
// untouched, tap traffic is back within half a second, TCP connections live.
func TestRelayKilledUnderTraffic(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	p := newPair(n)
	for _, agentAlive := range []bool{true, false} {
		if !agentAlive {
			n.Agent.Kill()
		}
		veth, stream := p.udp(t, "veth1", rate/5), p.tcp(t, "tap1")
		for range 5 {
			tap := p.udp(t, "tap3", tapRate)
			n.KillRelayWorker()
			// How long it took the flow tells, which ran meanwhile.
			harness.Eventually(t, 20*time.Second, func() error {
				return p.a.Run("ping", "-n", "-c", "1", "-W", "0.2", "-I", "tap1", harness.IP(p.result, "tap3", 0))
			})
			r := tap.Stop()
			blocked := time.Duration(r.Lost()) * time.Second / tapRate
			t.Logf("agent alive %v: %d of %d datagrams lost on tap, as in %v", agentAlive, r.Lost(), r.Sent, blocked)
			if blocked > relayBack || r.Received == 0 {
				t.Errorf("tap traffic was away for %v; %d datagrams came", blocked, r.Received)
			}
		}
		if r := veth.Stop(); r.Lost() != 0 {
			t.Errorf("%d of %d datagrams lost on veth", r.Lost(), r.Sent)
		}
		if r := stream.Stop(); r.Lost() != 0 || r.Received == 0 {
			t.Errorf("TCP over tap: %d bytes sent, %d received", r.Sent, r.Received)
		}
	}
	n.StartAgent()
	n.WaitReady()
	expectWired(t, p.a, p.resultA)
	p.a.MustDel()
	p.b.MustDel()
	n.ExpectClean(baseline)
}

// TestKilledInEveryOrder kills agent and relay, parent included, in both
// orders, and starts them again in both: veth loses nothing, and all is well
// in the end.
func TestKilledInEveryOrder(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	p := newPair(n)
	veth := p.udp(t, "eth0", rate/5)
	agent := step{kill: func() { n.Agent.Kill() }, start: n.StartAgent}
	relay := step{kill: func() { n.Relay.Kill() }, start: n.StartRelay}
	for _, order := range [][4]func(){
		{agent.kill, relay.kill, relay.start, agent.start},
		{agent.kill, relay.kill, agent.start, relay.start},
		{relay.kill, agent.kill, agent.start, relay.start},
		{relay.kill, agent.kill, relay.start, agent.start},
	} {
		for _, do := range order {
			do()
		}
		n.WaitReady()
		expectWired(t, p.a, p.resultA)
		expectWired(t, p.b, p.result)
	}
	if r := veth.Stop(); r.Lost() != 0 {
		t.Errorf("%d of %d datagrams lost on veth", r.Lost(), r.Sent)
	}
	p.a.MustDel()
	p.b.MustDel()
	n.ExpectClean(baseline)
}

type step struct{ kill, start func() }
