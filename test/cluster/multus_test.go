// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/kubenode"
)

const multusManifest = `
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: polynic
spec:
  config: '{"cniVersion": "1.1.0", "name": "polynic", "type": "polynic-cni"}'
---
apiVersion: v1
kind: Pod
metadata:
  name: many
  labels: {app: many}
  annotations:
    k8s.v1.cni.cncf.io/networks: polynic, polynic
    contivpp.io/custom-if: tap1/tap, veth1/veth
spec:
  containers: [{name: shell, image: shell}]
`

// underMultus has another plugin make eth0, and Multus ask polynic for two more
// interfaces.
func (s suite) underMultus() {
	s.useMultus()
	defer s.useNoMultus()
	s.Apply(attachments)
	s.Kubectl("wait", "--for=condition=Established", "crd/network-attachment-definitions.k8s.cni.cncf.io")
	s.Apply(multusManifest)
	s.waitPods(1, "-l", "app=many")

	// The custom interfaces came with the first attachment.
	var names []string
	addresses := map[string]string{}
	for line := range strings.Lines(s.exec("many", "ip", "-o", "-4", "addr", "show", "scope", "global")) {
		fields := strings.Fields(line) // N: NAME inet ADDRESS/BITS
		names = append(names, fields[1])
		addresses[fields[1]], _, _ = strings.Cut(fields[3], "/")
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"eth0", "net1", "net2", "tap1", "veth1"}, names); diff != "" {
		s.t.Errorf("interfaces of the pod (-want +got):\n%s", diff)
	}
	for _, name := range names[1:] {
		s.exec("many", "ping", "-c", "1", "-W", "2", "-I", name, kubenode.UplinkAddress)
		s.onNode("ping", "-c", "1", "-W", "2", addresses[name])
	}
	if routes := s.exec("many", "ip", "route", "show", "default"); strings.Count(routes, "\n") != 1 || !strings.Contains(routes, "dev eth0") {
		s.t.Errorf("the default routes of the pod are\n%s", routes)
	}
	s.expectStatusOfMultus(addresses)

	s.Kubectl("delete", "pod", "many")
	s.Kubectl("delete", "network-attachment-definition", "polynic")
	controlplane.Eventually(s.t, time.Minute, func() error {
		if left := s.interfaces(); len(left) > 0 {
			return fmt.Errorf("there are interfaces: %v", left)
		}
		return nil
	})
}

// expectStatusOfMultus reads the annotation network-status: it is the one that
// Multus writes.
func (s suite) expectStatusOfMultus(addresses map[string]string) {
	s.t.Helper()
	text := s.Kubectl("get", "pod", "many", "-o", networkStatus)
	var status []struct {
		Name, Interface string
		IPs             []string
		Default         bool
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		s.t.Fatalf("network-status is %q: %v", text, err)
	}
	if strings.Contains(text, "io.contivpp") {
		s.t.Errorf("polynic wrote network-status, which is Multus':\n%s", text)
	}
	told := map[string]string{}
	for _, i := range status {
		if i.Default != (i.Interface == "eth0") {
			s.t.Errorf("%s: default is %t", i.Interface, i.Default)
		}
		told[i.Interface] = strings.Join(i.IPs, " ")
	}
	for _, name := range []string{"eth0", "net1", "net2"} {
		if !strings.Contains(told[name], addresses[name]) {
			s.t.Errorf("network-status has no %s of %s:\n%s", addresses[name], name, text)
		}
	}
}

// useMultus makes Multus the node's network plugin, and the reference bridge plugin
// the one that it has make eth0.
func (s suite) useMultus() {
	s.t.Helper()
	program, err := os.ReadFile(kubebin.Need(s.t, "multus"))
	if err == nil {
		err = os.WriteFile(filepath.Join(kubenode.PluginDir, "multus"), program, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(kubenode.PluginConfDir, "00-multus.conflist"), fmt.Appendf(nil,
			`{"cniVersion": "1.0.0", "name": "multus", "plugins": [{"type": "multus", "kubeconfig": %q, "binDir": %q,
				"delegates": [{"cniVersion": "1.0.0", "name": "net0", "type": "bridge", %s}]}]}`,
			s.Kubeconfig("admin", "system:masters"), kubenode.PluginDir, mainConf(0)), 0o600)
	}
	if err == nil {
		err = os.Remove(polynicConf)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.restartRuntime()
}

func (s suite) useNoMultus() {
	s.t.Helper()
	s.install(filepath.Join(kubenode.PluginDir, "polynic-cni"))
	if err := os.Remove(filepath.Join(kubenode.PluginConfDir, "00-multus.conflist")); err != nil {
		s.t.Error(err)
	}
	s.restartRuntime()
}

// restartRuntime has containerd read its network configuration anew.
func (s suite) restartRuntime() {
	s.t.Helper()
	s.node.Runtime.Kill()
	s.node.StartRuntime()
	s.node.WaitReady()
}

// onNode runs a command on the node.
func (s suite) onNode(command ...string) {
	s.t.Helper()
	controlplane.Eventually(s.t, time.Minute, func() error {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%v: %w: %s", command, err, out)
		}
		return err
	})
}
