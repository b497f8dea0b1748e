// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/harness"
)

// mutation is one change that CHECK must notice, as a shell command. $V4 and
// $V6 are the addresses of the interface $IF, $G4 and $G6 its gateways, $PORT is
// its switch end, and $ELSE that of tap3.
type mutation struct{ iface, where, command, says string }

// The places in which a mutation is made.
const (
	inPod  = "pod"
	inNode = "node"
	inStub = "stub"
)

// upAgain has a renamed link up, if the agent has not removed it by then.
const upAgain = "ip link set other up || ! ip link show other"

// mutations alter one thing each.
func mutations() []mutation {
	var list []mutation
	for _, i := range []string{"eth0", "tap1"} {
		list = append(list,
			mutation{i, inPod, "ip addr del $V4/32 dev $IF", "lacks address $V4/32"},
			mutation{i, inPod, "ip addr del $V6/128 dev $IF", "lacks address $V6/128"},
			mutation{i, inPod, "ip addr del $V4/32 dev $IF; ip addr add $V4/24 dev $IF", "lacks address $V4/32"},
			mutation{i, inPod, "ip neigh del $G4 dev $IF", "lacks neighbor $G4"},
			mutation{i, inPod, "ip neigh change $G6 dev $IF lladdr 02:00:00:00:00:01 nud permanent", "lacks neighbor $G6"},
			mutation{i, inPod, "ip neigh replace $G4 dev $IF nud reachable", "lacks neighbor $G4"},
			mutation{i, inPod, "ip link set $IF address 02:00:00:00:00:01", "has MAC 02:00:00:00:00:01, not "},
			mutation{i, inPod, "ip link set $IF mtu 1400", "has ends of different MTU"},
			mutation{i, inPod, "ip link set $IF down", "is down"},
			mutation{i, inPod, "ip link del $IF", "is missing"},
			mutation{i, inPod, "ip link set $IF down; ip link set $IF name other; " + upAgain, "is missing"},
			mutation{i, inNode, "ip neigh del $V4 dev $PORT", "lacks neighbor $V4 at the switch"},
			mutation{i, inNode, "ip neigh change $V6 dev $PORT lladdr 02:00:00:00:00:01 nud permanent", "has MAC 02:00:00:00:00:01 for $V6 at the switch, not "},
			mutation{i, inNode, "ip route del $V4/32", "lacks route $V4/32 at the switch"},
			mutation{i, inNode, "ip route del $V6/128", "lacks route $V6/128 at the switch"},
			mutation{i, inNode, "ip route replace $V4/32 dev $ELSE proto 80", "lacks route $V4/32 at the switch"},
			mutation{i, inNode, "ip link set $PORT address 02:00:00:00:00:01", "has MAC 02:00:00:00:00:01 at the switch, not "},
			mutation{i, inNode, "ip link set $PORT mtu 1400", "has ends of different MTU"},
			mutation{i, inNode, "ip link set $PORT down", "is down at the switch"},
			mutation{i, inNode, "ip link set $PORT group 0", "is not marked as this pod's at the switch"},
			mutation{i, inNode, "ip link set $PORT alias other", "is not marked as this pod's at the switch"},
			mutation{i, inNode, "ip link set $PORT down; ip link set $PORT name other; " + upAgain, "is missing"},
			mutation{i, inNode, "ip link del $PORT", "is missing"},
		)
	}
	return append(list,
		mutation{"eth0", inPod, "ip route del default", "lacks route 0.0.0.0/0 via $G4"},
		mutation{"eth0", inPod, "ip -6 route del default", "lacks route ::/0 via $G6"},
		mutation{"eth0", inPod, "ip route replace default via $G4 dev tap1 proto 80 onlink", "lacks route 0.0.0.0/0 via $G4"},
		mutation{"eth0", inPod, "ip route flush table main proto 80", "lacks route $G4/32, route 0.0.0.0/0 via $G4"},
		mutation{"tap1", inPod, "ip route flush table 1001", "via $G4 table 1001"},
		mutation{"veth1", inPod, "ip -6 route del default table 1002", "lacks route ::/0 via $G6 table 1002"},
		mutation{"tap1", inPod, "ip rule del from $V4 lookup 1001", "from $V4/32 table 1001"},
		mutation{"veth1", inPod, "ip -6 rule del oif veth1 lookup 1002", "oif inet6 table 1002"},
		mutation{"tap1", inPod, "echo 1 >/proc/sys/net/ipv6/conf/tap1/disable_ipv6", "lacks address $V6/128"},
		mutation{"tap2", inPod, "ip link set tap2 down", "is down"},
		mutation{"veth2", inPod, "ip link del veth2", "is missing"},
		mutation{"veth2", inPod, "ip link set veth2 down; ip link set veth2 name other; " + upAgain, "is missing"},
		mutation{"tap2", inPod, "ip link set tap2 down; ip link set tap2 name other; " + upAgain, "is missing"},
		mutation{"tap2", inStub, "ip link set $PORT mtu 1400", "has ends of different MTU"},
		mutation{"veth2", inStub, "ip link del $PORT", "is missing"},
	)
}

// TestCheckSeesMutations makes one mutation at a time while the agent is frozen
// and has CHECK wait for it to go on, so that CHECK looks before the agent's
// repair, which waits a little for the event that may clear a suspicion. Where
// the repair wins nevertheless, or CHECK looks into the midst of it, that is one
// more attempt with another pod, ten times for a mutation.
func TestCheckSeesMutations(t *testing.T) {
	n := harness.Start(t, func(c *config.Config) { c.RepairInterval.Duration = time.Hour })
	baseline := n.MustLook()
	list, overtaken, all := mutations(), 0, 0
	for i := 0; i < len(list); i++ {
		m, pod := list[i], n.Pod(mixed)
		result := pod.MustAdd()
		says := replacer(n, pod, result, m).Replace(m.says)
		err := checkAfter(t, n, pod, script(n, pod, result, m))
		if (err == nil || !strings.Contains(err.Error(), says)) && overtaken < 10 {
			overtaken, all = overtaken+1, all+1
			i--
		} else {
			overtaken = 0
			expectRefused(t, err, cniwire.CodeMismatch, "default/"+pod.Name, ": "+m.iface+" ", says)
			expectBrief(t, err)
		}
		pod.MustDel()
		n.ExpectClean(baseline)
		pod.Destroy()
		if t.Failed() {
			t.Fatalf("%s in the %s", m.command, m.where)
		}
	}
	t.Logf("mutations noticed: %d of %d; %d were being repaired before", len(list), len(list), all)
}

// checkAfter is CHECK right after a change.
func checkAfter(t *testing.T, n *harness.Node, pod *harness.Pod, change func() error) error {
	t.Helper()
	n.Agent.Freeze()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	checked := make(chan error, 1)
	go func() { checked <- pod.Check() }()
	n.WaitRequests(1)
	n.Agent.Thaw()
	return <-checked
}

// expectBrief fails where a refusal is more than a person reads.
func expectBrief(t *testing.T, err error) {
	t.Helper()
	const brief = 400
	if err != nil && len(err.Error()) > brief {
		t.Errorf("%d bytes, more than %d: %v", len(err.Error()), brief, err)
	}
}

// replacer puts what a mutation's words stand for.
func replacer(n *harness.Node, pod *harness.Pod, result *types100.Result, m mutation) *strings.Replacer {
	ports := map[string]string{}
	for _, i := range n.Interfaces() {
		if i.Pod == pod.Name {
			ports[i.Name] = i.Port
		}
	}
	return strings.NewReplacer("$IF", m.iface, "$PORT", ports[m.iface], "$ELSE", ports["tap3"],
		"$STUB", filepath.Join(n.Config.NetnsDir(), "stub"),
		"$V4", harness.IP(result, m.iface, 0), "$V6", harness.IP(result, m.iface, 1),
		"$G4", "10.1.1.1", "$G6", "fd10:1:0:1::1")
}

// script runs a mutation's command where it belongs.
func script(n *harness.Node, pod *harness.Pod, result *types100.Result, m mutation) func() error {
	command := replacer(n, pod, result, m).Replace(m.command)
	switch m.where {
	case inPod:
		return func() error { return pod.Run("sh", "-ec", command) }
	case inStub:
		return func() error {
			_, err := n.InStub("sh", "-ec", command)
			return err
		}
	default:
		return func() error { return shell(command) }
	}
}

// shell runs a command in the node's namespace.
func shell(command string) error {
	if out, err := exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

// TestCheckSeesRelay: a tap whose file nobody holds is not as it should be.
func TestCheckSeesRelay(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	pod := n.Pod(mixed)
	result := pod.MustAdd()
	relay := relayapi.New(n.Config.RelaySocket(), slog.New(slog.DiscardHandler))
	defer relay.Close()
	err := checkAfter(t, n, pod, func() error {
		return relay.Detach(context.Background(), []string{pod.ContainerID + "/eth0/tap1"})
	})
	expectRefused(t, err, cniwire.CodeMismatch, "default/"+pod.Name, ": tap1 is not held by the relay")
	// The relay tells nobody of what it was asked to do: a comparison finds it.
	n.RestartAgent()
	harness.Eventually(t, harness.Patience(atOnce), pod.Check)
	expectWired(t, pod, result)
	pod.MustDel()
	n.ExpectClean(baseline)
}

// TestCheckAgainstPrevious: what the runtime remembers differently is told.
func TestCheckAgainstPrevious(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	pod := n.Pod(mixed)
	result := pod.MustAdd()
	prev := func(alter func(*types100.Result)) error {
		var other types100.Result
		text, err := json.Marshal(result)
		if err == nil {
			err = json.Unmarshal(text, &other)
		}
		if err != nil {
			t.Fatal(err)
		}
		alter(&other)
		if text, err = json.Marshal(other); err != nil {
			t.Fatal(err)
		}
		conf := bytes.TrimSuffix(n.NetConf("1.1.0", harness.NetworkName), []byte("}"))
		return pod.Call("CHECK", fmt.Appendf(conf, `,"prevResult":%s}`, text))
	}
	if err := prev(func(*types100.Result) {}); err != nil {
		t.Error(err)
	}
	expectRefused(t, prev(func(r *types100.Result) { r.IPs[0].Address.IP[15]++ }), cniwire.CodeMismatch, "eth0", "addresses")
	expectRefused(t, prev(func(r *types100.Result) { r.Interfaces[1].Mac = "02:00:00:00:00:01" }), cniwire.CodeMismatch, "tap1", "MAC")
	expectRefused(t, prev(func(r *types100.Result) { r.Interfaces[2].Name = "other" }), cniwire.CodeMismatch, "lacks veth1")
	err := pod.Call("CHECK", n.NetConf("1.1.0", harness.NetworkName))
	expectRefused(t, err, cniwire.CodeInvalidConfig, "prevResult")
	pod.MustDel()
	expectRefused(t, prev(func(*types100.Result) {}), cniwire.CodeUnknownContainer, pod.ContainerID)
	n.ExpectClean(baseline)
}

var checks = flag.Int("checks", 200, "how often pods in order are checked while others come and go")

// TestCheckWithoutFalseAlarm checks pods that are in order, while others come
// and go.
func TestCheckWithoutFalseAlarm(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	const checkers = 4
	var running sync.WaitGroup
	for range checkers {
		pod := n.Pod(mixed)
		pod.MustAdd()
		running.Go(func() {
			for range *checks / checkers {
				if err := pod.Check(); err != nil {
					t.Error(err)
				}
			}
			if err := pod.Del(); err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 {
		passing := n.Pod(mixed)
		passing.MustAdd()
		passing.MustDel()
		passing.Destroy()
	}
	running.Wait()
	n.ExpectClean(baseline)
}
