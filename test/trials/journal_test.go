// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// damage is what may become of a journal while no agent runs.
type damage struct {
	name string
	do   func(text []byte) []byte // nil is no file at all
}

func damages() []damage {
	return []damage{
		{"none", func(text []byte) []byte { return text }},
		{"removed", func([]byte) []byte { return nil }},
		{"emptied", func([]byte) []byte { return []byte{} }},
		{"another file", func([]byte) []byte { return []byte("something\nelse\n") }},
		{"cut within a record", func(text []byte) []byte { return text[:rand.IntN(len(text))] }},
		{"cut between records", func(text []byte) []byte {
			lines := bytes.SplitAfter(text, []byte("\n"))
			return bytes.Join(lines[:1+rand.IntN(len(lines)-1)], nil)
		}},
		{"bits flipped", func(text []byte) []byte {
			for range 1 + rand.IntN(4) {
				text[rand.IntN(len(text))] ^= 1 << rand.IntN(8)
			}
			return text
		}},
		{"a record lost", func(text []byte) []byte {
			lines := bytes.SplitAfter(text, []byte("\n"))
			n := rand.IntN(len(lines) - 1)
			return bytes.Join(slices.Delete(lines, n, n+1), nil)
		}},
		{"of another version", func(text []byte) []byte { return reheader(text, `"version":1`, `"version":2`) }},
		{"of another node", func(text []byte) []byte { return reheader(text, `"node":"node1"`, `"node":"node2"`) }},
	}
}

// reheader alters the header of a journal, its checksum included.
func reheader(text []byte, old, with string) []byte {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	header := strings.Replace(string(line[9:]), old, with, 1)
	return fmt.Appendf(nil, "%08x %s\n%s", crc32.Checksum([]byte(header), crc32.MakeTable(crc32.Castagnoli)), header, rest)
}

// apply damages the node's journal.
func (d damage) apply(t *testing.T, n *harness.Node) {
	t.Helper()
	path := n.Config.JournalFile()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text = d.do(text); text == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedJournal damages the journal while no agent runs and pods do: the
// next agent goes on with them as if nothing had happened. Not a link is made
// anew, not a datagram lost, no address given twice, and a DEL cleans.
func TestDamagedJournal(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) { c.Network.Eth0, c.Network.TapQueues = "tap", 2 })
	baseline := n.MustLook()
	live := flock{}
	ends := live.add(n, 2, mixed)
	// All that waits for a processor is in one queue, which holds 1,000 (netdev_max_backlog).
	veth := harness.UDP(t, ends[0].Netns, ends[1].Netns, harness.IP(live[ends[1]], "veth1", 0), losslessRate)
	tap := harness.UDP(t, ends[0].Netns, ends[1].Netns, harness.IP(live[ends[1]], "tap1", 0), losslessRate/2)
	for range *rounds {
		for _, d := range damages() {
			passing := live.add(n, 2, pairOfTypes)
			before := links(t, n, live)
			n.Agent.Kill()
			d.apply(t, n)
			n.StartAgent()
			n.WaitReady()
			late := n.Pod(pairOfTypes)
			live[late] = late.MustAdd()
			expectDistinct(t, live)
			live.expect(t, n, slices.Collect(maps.Keys(live)))
			live.remove(late)
			attached(n, len(live))
			if diff := cmp.Diff(before, links(t, n, live)); diff != "" {
				t.Errorf("links (-before +after):\n%s", diff)
			}
			live.remove(passing...)
			attached(n, len(live))
			if t.Failed() {
				t.Fatalf("journal: %s", d.name)
			}
		}
	}
	for name, flow := range map[string]*harness.Flow{"veth": veth, "tap": tap} {
		if r := flow.Stop(); r.Lost() != 0 || r.Sent == 0 {
			t.Errorf("%s: %d of %d datagrams lost, longest gap %.0f ms", name, r.Lost(), r.Sent, r.LongestGapMS)
		}
	}
	for _, p := range ends {
		p.MustDel()
	}
	forgetBadJournals(t, n)
	n.ExpectClean(baseline)
}

// links lists all links of networks and pods with their numbers: one that was
// made anew has another.
func links(t *testing.T, n *harness.Node, pods flock) []string {
	t.Helper()
	script := "ip -o link | cut -d: -f1,2 | sort"
	inStub, err := n.InStub("sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	inNode, err := exec.Command("sh", "-ec", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString(string(inNode) + inStub)
	for p := range pods {
		inside, err := p.Output("sh", "-ec", script)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(inside)
	}
	list := strings.Split(all.String(), "\n")
	slices.Sort(list)
	return list
}

// expectDistinct fails where two pods have an address or a MAC in common.
func expectDistinct(t *testing.T, pods flock) {
	t.Helper()
	owner := map[string]string{}
	for p, result := range pods {
		for _, mark := range harness.Marks(result) {
			if other := owner[mark]; other != "" {
				t.Errorf("%s and %s both have %s", other, p.Name, mark)
			}
			owner[mark] = p.Name
		}
	}
}

// forgetBadJournals removes the damaged files that were set aside for people.
func forgetBadJournals(t *testing.T, n *harness.Node) {
	t.Helper()
	bad, err := filepath.Glob(n.Config.JournalFile() + ".bad-*")
	if err == nil && len(bad) == 0 {
		err = errors.New("no journal was set aside")
	}
	for _, path := range bad {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		t.Error(err)
	}
}

// TestLostDelete: the record of a DEL is lost after its addresses were given to
// others; these keep them.
func TestLostDelete(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) { c.Network.Subnets[0].NodePrefixLen = 29 }) // 4 addresses
	baseline := n.MustLook()
	live := flock{}
	for round := range *rounds {
		old := live.add(n, 2, "tap1/tap")
		for _, p := range old {
			p.MustDel()
			delete(live, p)
			if round%2 == 0 {
				p.Destroy()
			}
		}
		attached(n, 0)
		young := live.add(n, 2, "tap1/tap")
		n.Agent.Kill()
		damage{do: func(text []byte) []byte {
			lines := slices.DeleteFunc(bytes.SplitAfter(text, []byte("\n")), func(line []byte) bool {
				return bytes.Contains(line, []byte(`"op":"delete"`)) || round%3 == 0 && bytes.Contains(line, []byte(`"leaving":true`))
			})
			return bytes.Join(lines, nil)
		}}.apply(t, n)
		n.StartAgent()
		n.WaitReady()
		attached(n, 2)
		live.expect(t, n, young)
		live.remove(young...)
		n.ExpectClean(baseline)
		expectEmptied(t, n, old...)
		if t.Failed() {
			return
		}
	}
}

// TestReboot starts agent and relay on a machine that was started anew, as far
// as they can tell: another boot id, no namespace, nothing in the folder that
// does not survive. All addresses can be given again.
func TestReboot(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) { c.Network.Subnets[0].NodePrefixLen = 29 })
	baseline := n.MustLook()
	for range *rounds {
		live := flock{}
		live.add(n, 2, "tap1/tap")
		n.Agent.Kill()
		n.Relay.Kill()
		boot(t, n, live)
		n.StartRelay()
		n.StartAgent()
		n.WaitReady()
		n.ExpectClean(baseline)
		if after := live.add(n, 2, "tap1/tap"); len(after) != 2 {
			t.Fatal("not all addresses are free")
		}
		for p := range live { // the runtime deletes those of before, too
			p.MustDel()
			p.Destroy()
		}
		n.ExpectClean(baseline)
	}
}

// boot takes away what a reboot does.
func boot(t *testing.T, n *harness.Node, pods flock) {
	t.Helper()
	for p := range pods {
		p.Destroy()
	}
	damage{do: func(text []byte) []byte {
		id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			t.Fatal(err)
		}
		return reheader(text, strings.TrimSpace(string(id)), "an-earlier-one")
	}}.apply(t, n)
	if err := shell(fmt.Sprintf(`umount %[1]s/netns/*; rm -r %[1]s/*
ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | grep -v '^lo$' | while read link; do ip link del $link || true; done
nft flush ruleset; ip route flush table all proto 80; ip -6 route flush table all proto 80
echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding`, n.Config.RunDir)); err != nil {
		t.Fatal(err)
	}
}
