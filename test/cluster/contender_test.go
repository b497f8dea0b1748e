// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubenode"
)

// contender is a way in which pods get their network, and what was measured of
// it.
type contender struct {
	name       string
	program    string
	conf       string // the keys of the plugin's configuration, but for its type
	annotation string // of its pods
	interfaces int    // of its pods

	add, addAlone figure.Arm // time in CNI ADD
	alone, burst  figure.Arm // from created to Ready
	read          int        // lines of the log that were looked at
}

const customInterfaces = `contivpp.io/custom-if: "tap1/tap, tap2/tap, veth1/veth, veth2/veth"`

func newContender(name, program, conf string) *contender {
	c := &contender{name: name, program: program, conf: conf, interfaces: 1}
	for _, a := range []*figure.Arm{&c.add, &c.addAlone, &c.alone, &c.burst} {
		a.Name = name
	}
	return c
}

func (b *bench) polynic() *contender {
	c := newContender("polynic", harness.Bin("polynic-cni"), "")
	c.interfaces, c.annotation = 5, customInterfaces
	return c
}

// referencePlugins is where Debian has them.
const referencePlugins = "/usr/lib/cni"

// bridgeConf is what the plugin bridge is told of the node's Nth network.
func bridgeConf(n int) string {
	return fmt.Sprintf(`"bridge": "br%[1]d", "mtu": 1450, "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.20%[1]d.0.0/16"}]]}`, n)
}

// mainConf is bridgeConf for the pods' main interface.
func mainConf(n int) string { return bridgeConf(n) + `, "isDefaultGateway": true` }

// bridge gives pods an interface, and does not know what else they ask for.
func (b *bench) bridge() *contender {
	c := newContender("bridge", referencePlugins+"/bridge", ", "+mainConf(5))
	c.annotation = customInterfaces
	return c
}

const attachments = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: network-attachment-definitions.k8s.cni.cncf.io}
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names: {plural: network-attachment-definitions, singular: network-attachment-definition, kind: NetworkAttachmentDefinition}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {config: {type: string}}}}}}
`

const attachment = `
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: net%[1]d}
spec: {config: '{"cniVersion": "1.0.0", "name": "net%[1]d", "type": "bridge", %[2]s}'}
---
`

// multus delegates to the reference plugins, once per interface.
func (b *bench) multus(program string) *contender {
	b.Apply(attachments)
	b.Kubectl("wait", "--for=condition=Established", "crd/network-attachment-definitions.k8s.cni.cncf.io")
	var networks strings.Builder
	for n := 1; n <= 4; n++ {
		fmt.Fprintf(&networks, attachment, n, bridgeConf(n))
	}
	b.Apply(networks.String())
	c := newContender("Multus", program, fmt.Sprintf(`, "kubeconfig": %q, "binDir": %q,
		"delegates": [{"cniVersion": "1.0.0", "name": "net0", "type": "bridge", %s}]`,
		b.Kubeconfig("admin", "system:masters"), referencePlugins, mainConf(0)))
	c.interfaces, c.annotation = 5, "k8s.v1.cni.cncf.io/networks: 'net1, net2, net3, net4'"
	return c
}

// timed runs a plugin and writes down what, and for how many microseconds.
const timed = `#!/bin/bash
export CNI_PATH=` + referencePlugins + `:$CNI_PATH
begin=$EPOCHREALTIME
%s
code=$?
end=$EPOCHREALTIME
echo "$CNI_COMMAND $((${end/./} - ${begin/./})) $code" >>%s
exit $code
`

func (c *contender) log() string { return filepath.Join("/run", "timed-"+c.name) }

// use has the node's new pods get their network from a contender. The first one
// says whether that is so; it is not measured.
func (b *bench) use(c *contender) {
	b.t.Helper()
	script := filepath.Join(kubenode.PluginDir, "timed-"+c.name)
	if err := os.WriteFile(script, fmt.Appendf(nil, timed, c.program, c.log()), 0o755); err != nil {
		b.t.Fatal(err)
	}
	conf := filepath.Join(kubenode.PluginConfDir, "10-bench.conflist")
	if err := os.WriteFile(conf+".new", fmt.Appendf(nil,
		`{"cniVersion": "1.0.0", "name": %q, "plugins": [{"type": "timed-%[1]s"%s}]}`, c.name, c.conf), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(conf+".new", conf); err != nil {
		b.t.Fatal(err)
	}
	for range 5 {
		b.run(c, 1)
		used := len(b.adds(c)) > 0
		b.remove()
		if used {
			return
		}
	}
	b.t.Fatalf("no pod got its network by %s", c.name)
}

// adds are the durations of the ADDs that succeeded and were not looked at yet.
func (b *bench) adds(c *contender) []time.Duration {
	b.t.Helper()
	file, err := os.Open(c.log())
	if err != nil {
		return nil // not called yet
	}
	defer file.Close()
	var took []time.Duration
	lines := bufio.NewScanner(file)
	for n := 0; lines.Scan(); n++ {
		var command string
		var micros, code int
		if n < c.read {
			continue
		}
		c.read++
		// STATUS has no line of interest, nor has what the runtime tries again.
		if _, err := fmt.Sscan(lines.Text(), &command, &micros, &code); err == nil && command == "ADD" && code == 0 {
			took = append(took, time.Duration(micros)*time.Microsecond)
		}
	}
	return took
}
