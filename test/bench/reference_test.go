// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/netns"
)

// reference is a node on which a meta plugin would call Debian's plugins bridge
// and host-local once per interface.
type reference struct {
	t       *testing.T
	node    *netns.Handle
	plugins [interfaces]plugin
	names   [interfaces]string
}

const referencePlugins = "/usr/lib/cni"

func newReference(t *testing.T, s *sheet, figure string) *reference {
	t.Helper()
	s.NeedFiles(t, figure, filepath.Join(referencePlugins, "bridge"), filepath.Join(referencePlugins, "host-local"))
	node, leases := space(t, freshName("reference")), t.TempDir()
	r := &reference{t: t, node: node, names: [interfaces]string{"eth0", "net1", "net2", "net3", "net4"}}
	for i := range r.plugins {
		conf := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"net%[1]d","type":"bridge","bridge":"br%[1]d","mtu":1450,
			"isGateway":true,"isDefaultGateway":%[2]t,
			"ipam":{"type":"host-local","dataDir":%[3]q,"ranges":[[{"subnet":"10.20%[1]d.0.0/16"}]]}}`, i, i == 0, leases)
		r.plugins[i] = plugin{node: node, path: filepath.Join(referencePlugins, "bridge"), conf: conf}
	}
	// The first ADD makes the bridges, and reads the programs from disk.
	first := r.pool(1)[0]
	r.mustRun("ADD", first)
	r.mustRun("DEL", first)
	return r
}

// referencePod is a sandbox.
type referencePod struct {
	id string
	ns *netns.Handle
}

func (p referencePod) netns() string { return filepath.Join("/run/netns", p.id) }

func (r *reference) pool(count int) []referencePod {
	r.t.Helper()
	pods := make([]referencePod, count)
	for i := range pods {
		name := freshName("pod")
		pods[i] = referencePod{id: name, ns: space(r.t, name)}
	}
	return pods
}

// run calls the plugins one after another, as delegates are.
func (r *reference) run(command string, p referencePod) (time.Duration, error) {
	var total time.Duration
	for i := range r.plugins {
		took, err := r.plugins[i].run(r.t, command, sandbox{
			id: p.id, netns: p.netns(), ifName: r.names[i],
		})
		if err != nil {
			return total, err
		}
		total += took
	}
	return total, nil
}

func (r *reference) mustRun(command string, p referencePod) time.Duration {
	r.t.Helper()
	took, err := r.run(command, p)
	if err != nil {
		r.t.Fatal(err)
	}
	return took
}

func (r *reference) expectAnswers(p referencePod) {
	r.t.Helper()
	gateways := map[string]string{}
	for i, name := range r.names {
		gateways[name] = fmt.Sprintf("10.20%d.0.1", i)
	}
	expectAnswers(r.t, p.ns, gateways)
}
