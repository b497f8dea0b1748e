// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"flag"
	"fmt"
	"strings"
)

// printWalkthrough has the transcript printed, for whoever is outside the suite's
// machine: what is written in there is gone with it.
var printWalkthrough = flag.Bool("walkthrough", false, "print the transcript of the documents' commands between two lines of comment")

const walkthroughHead = `# A walk through the documents

What Contiv-VPP's documents on custom pod interfaces show, on a real cluster: the commands, and what they print. This
page is written by the cluster suite (%s):

    make walkthrough

polynic is installed by %s. The containers' images stand in for those of the
documents: they have a shell, the command ip, and DPDK's testpmd.
`

const autoConfigured = `
VPP and its agent are a stand-in here, which does with the keys in etcd what they do, and tells what that is. etcd runs
in the cluster, in plain text as the documents have it ([etcd](etcd.md)); 192.168.56.101 is an address of the node.
`

// memif1 stands for the address of the interface of that name in a command.
const memif1 = "ADDRESS"

// chapter is one of the documents': its manifest, and what is typed.
type chapter struct {
	title, says, manifest string
	commands              []string
}

func chapters() []chapter {
	return []chapter{
		{"Taps and veths", "", "multi-if-pod.yaml", []string{
			"kubectl apply -f multi-if-pod.yaml",
			"kubectl wait --for=condition=Ready pod/multi-if-pod",
			"kubectl exec multi-if-pod -- ip addr",
			"kubectl exec multi-if-pod -- ping -c 2 -I tap1 172.30.0.2",
			"kubectl get pod multi-if-pod -o '" + networkStatus + "'",
			"kubectl delete pod multi-if-pod",
		}},
		{"Memif interfaces", "", "vnf-pod.yaml", []string{
			"kubectl apply -f vnf-pod.yaml",
			"kubectl wait --for=condition=Ready pod/vnf-pod",
			"kubectl exec vnf-pod -- env | grep MEMIF",
			"kubectl exec vnf-pod -- cat /run/vpp/interfaces.json",
			"kubectl exec vnf-pod -- sh -c '(sleep 3; echo show port info 0; sleep 1; echo quit) | dpdk-testpmd --no-huge --no-pci --no-telemetry --no-shconf -m 96 --lcores 0@1,1@1" +
				" --vdev=net_memif0,role=client,id=0,socket-abstract=no,socket=$MEMIF_SOCKET,secret=$MEMIF_SECRET -- -i --total-num-mbufs=8192' | grep 'Link s'",
			"kubectl delete pod vnf-pod",
		}},
		{"Memif pod auto-configuration", autoConfigured, "vnf-etcd-pod.yaml", []string{
			"kubectl apply -k deploy/overlays/linux-etcd-plain",
			"kubectl -n polynic-system rollout restart ds/polynic-agent deployment/polynic-controller",
			"kubectl -n polynic-system rollout status ds/polynic-agent",
			"kubectl -n polynic-system rollout status deployment/polynic-etcd",
			"kubectl apply -f vnf-etcd-pod.yaml",
			"kubectl wait --for=condition=Ready pod/vnf-pod",
			"etcdctl --endpoints=192.168.56.101:32379 get --prefix /vnf-agent/vnf1/",
			"kubectl run client --image=nginx",
			"kubectl wait --for=condition=Ready pod/client",
			"kubectl exec client -- ping -c 2 " + memif1,
			"kubectl logs vnf-pod",
			"kubectl delete pod vnf-pod client",
		}},
	}
}

// walkthrough runs the commands of the documents, by their words, and keeps what
// they print.
func (s suite) walkthrough() {
	var page strings.Builder
	version := strings.Fields(s.Kubectl("get", "node", s.node.Name, "-o",
		"jsonpath={.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion}"))
	fmt.Fprintf(&page, walkthroughHead, "kubelet "+version[0]+", "+version[1], "`kubectl apply -f deploy/polynic.yaml`")
	for _, c := range chapters() {
		fmt.Fprintf(&page, "\n## %s\n%s\n`%s`:\n\n```yaml\n%s```\n\n```console\n", c.title, c.says, c.manifest, manifest(s.t, c.manifest))
		for _, command := range c.commands {
			if strings.Contains(command, memif1) {
				command = strings.ReplaceAll(command, memif1, s.address("vnf-pod", "memif1"))
			}
			fmt.Fprintf(&page, "$ %s\n%s", command, s.typed(command))
		}
		page.WriteString("```\n")
	}
	s.expectNoKeys("etcdctl --endpoints=" + etcdAddress)
	if *printWalkthrough {
		fmt.Printf("<!-- walkthrough -->\n%s<!-- end -->\n", page.String())
	}
	s.t.Logf("the transcript has %d lines", strings.Count(page.String(), "\n"))
}
