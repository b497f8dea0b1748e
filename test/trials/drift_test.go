// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// What the kernel reports is back within atOnce; the rest at the next
// comparison.
const (
	atOnce         = time.Second
	repairInterval = 2 * time.Second
)

// unreported are the mutations that come to light by a comparison only.
var unreported = regexp.MustCompile(`neigh (change|replace)|route replace|/proc/sys/net/ipv./|umount`)

// podMutations are those of CHECK that add nothing: what is added is left alone.
func podMutations() []mutation {
	return slices.DeleteFunc(mutations(), func(m mutation) bool { return strings.Contains(m.command, " add ") })
}

// nodeMutations alter what belongs to no pod.
func nodeMutations() []mutation {
	var list []mutation
	for _, command := range []string{
		"nft delete table inet polynic",
		"nft flush chain inet polynic guard",
		"nft 'flush chain inet polynic outbound; delete chain inet polynic outbound'",
		"nft delete element inet polynic pods4 '{ 10.1.1.0/24 }'",
		"nft add element inet polynic inside6 '{ 2001:db8::/32 }'",
		"nft insert rule inet polynic guard accept",
		"nft add chain inet polynic more",
		"ip route del local 10.1.1.1 dev lo table local",
		"ip -6 route del local fd10:1:0:1::1 dev lo table local",
		"echo 0 >/proc/sys/net/ipv4/ip_forward",
		"echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
		"umount -l $STUB; rm $STUB || nsenter --net=$STUB true", // unless it is pinned again by then
	} {
		list = append(list, mutation{iface: "eth0", where: inNode, command: command})
	}
	return list
}

// foreign is what others have on the node, and in a pod beside what polynic
// made: it stays as it is.
const (
	foreignOnNode = `
ip link add foreign0 type veth peer name foreign1; ip addr add 192.0.2.1/24 dev foreign0
ip link set foreign0 up; ip link set foreign1 up
ip route add 198.51.100.0/24 dev foreign0; ip route add 10.1.9.0/24 dev foreign0 table 99
ip rule add from 198.51.100.0/24 lookup 99; ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev foreign0 nud permanent
nft 'table inet foreign { set polynic { type ipv4_addr; elements = { 10.1.1.1 } }; chain guard { type filter hook prerouting priority 0; ip saddr @polynic counter; }; }'`
	foreignInPod = `
ip link add mine0 type bridge; ip link set mine0 up; ip addr add 203.0.113.1/24 dev mine0
ip addr add 10.99.0.1/32 dev tap3; ip route add 192.0.2.0/24 dev tap3 table 77; ip route add 192.0.2.9/32 dev tap3
ip rule add from 10.99.0.1 lookup 77 priority 50; ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev tap3 nud permanent`
	foreignGone = `ip link del foreign0; ip rule del from 198.51.100.0/24 lookup 99; nft delete table inet foreign`
)

// drift is a node with some pods, and how it looks while all is well.
type drift struct {
	n        *harness.Node
	baseline harness.Leftovers
	pods     []*harness.Pod
	results  []*types100.Result
	well     []string
}

func startDrift(t *testing.T, pods int, interval time.Duration) *drift {
	t.Helper()
	d := &drift{n: harness.Start(t, func(c *config.Config) { c.RepairInterval.Duration = interval })}
	d.baseline = d.n.MustLook()
	t.Cleanup(func() { _ = shell(foreignGone) }) // where the test fails
	if err := shell(foreignOnNode); err != nil {
		t.Fatal(err)
	}
	for range pods {
		pod := d.n.Pod(mixed)
		d.pods, d.results = append(d.pods, pod), append(d.results, pod.MustAdd())
		if err := pod.Run("sh", "-ec", foreignInPod); err != nil {
			t.Fatal(err)
		}
	}
	// The agent looks at what was done to the pods, for which it opens namespaces.
	harness.Eventually(t, harness.Patience(10*time.Second), func() error {
		now, err := d.look()
		if err == nil && !slices.Equal(now, d.well) {
			d.well, err = now, errors.New("things change")
		}
		return err
	})
	return d
}

// look lists everything on the node and in the pods. Links come in the order of
// their making, and link-local addresses and what goes with them by and by.
func (d *drift) look() ([]string, error) {
	now, err := d.n.Look()
	var list []string
	for _, p := range d.pods {
		inside, podErr := p.Look()
		now += inside
		err = errors.Join(err, podErr)
	}
	for line := range strings.SplitSeq(string(now), "\n") {
		if !strings.Contains(line, "fe80::") && !strings.HasPrefix(line, "multicast") && !strings.HasPrefix(line, "anycast") {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list, err
}

// mutate alters something of a pod, or of the node.
func (d *drift) mutate(t *testing.T, pod int, m mutation) {
	t.Helper()
	if err := script(d.n, d.pods[pod], d.results[pod], m)(); err != nil {
		t.Fatal(err)
	}
}

// expectBack waits until all is as it was before what was done to it.
func (d *drift) expectBack(t *testing.T, within time.Duration, done ...mutation) {
	t.Helper()
	var diff string
	err := harness.Poll(harness.Patience(within), func() error {
		now, err := d.look()
		if diff = cmp.Diff(d.well, now); diff != "" {
			err = errors.Join(err, errors.New("not as it was"))
		}
		return err
	})
	if err != nil {
		t.Fatalf("after %q: %v (-before +now):\n%s", done, err, diff)
	}
}

// end shows that traffic passes, and that nothing but the others' is left.
func (d *drift) end(t *testing.T) {
	t.Helper()
	for i, p := range d.pods {
		expectWired(t, p, d.results[i])
		p.MustDel()
	}
	if err := shell(foreignGone); err != nil {
		t.Error(err)
	}
	d.n.ExpectClean(d.baseline)
}

// TestDriftIsRepairedAtOnce: whatever an event tells of is back within a second.
func TestDriftIsRepairedAtOnce(t *testing.T) {
	d := startDrift(t, 1, time.Hour)
	count := 0
	for _, m := range slices.Concat(podMutations(), nodeMutations()) {
		if unreported.MatchString(m.command) {
			continue
		}
		count++
		d.mutate(t, 0, m)
		d.expectBack(t, atOnce, m)
	}
	d.end(t)
	t.Logf("%d changes repaired", count)
}

// TestDriftIsRepairedInTime: what no event tells of is back at the next
// comparison.
func TestDriftIsRepairedInTime(t *testing.T) {
	d := startDrift(t, 8, repairInterval)
	list := slices.DeleteFunc(slices.Concat(podMutations(), nodeMutations()), func(m mutation) bool {
		return !unreported.MatchString(m.command)
	})
	for several := range slices.Chunk(list, len(d.pods)) {
		for pod, m := range several {
			d.mutate(t, pod, m)
		}
		d.expectBack(t, repairInterval+atOnce, several...)
	}
	d.end(t)
}

// TestDriftWhileAway: what was altered while no agent ran is back once one does.
func TestDriftWhileAway(t *testing.T) {
	d := startDrift(t, 8, time.Hour)
	groups := slices.Collect(slices.Chunk(podMutations(), len(d.pods)))
	for _, m := range nodeMutations() {
		groups = append(groups, []mutation{m})
	}
	for _, several := range groups {
		var scripts []func() error
		for pod, m := range several {
			scripts = append(scripts, script(d.n, d.pods[pod], d.results[pod], m))
		}
		d.n.Agent.Kill()
		for _, alter := range scripts {
			if err := alter(); err != nil {
				t.Fatal(err)
			}
		}
		d.n.StartAgent()
		d.n.WaitReady()
		d.expectBack(t, atOnce, several...)
	}
	d.end(t)
}

// TestDelIsNoDrift: a DEL puts links into another group and takes them down,
// which looks like drift to nobody.
func TestDelIsNoDrift(t *testing.T) {
	d := startDrift(t, 8, time.Hour)
	d.end(t)
	log, err := os.ReadFile(filepath.Join(d.n.Dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "msg=repairing") {
			t.Error(line)
		}
	}
}
