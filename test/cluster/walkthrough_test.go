// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubebin"
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

// walkthrough runs the commands of the documents, by their words, and keeps what
// they print.
func (s suite) walkthrough() {
	var page strings.Builder
	version := strings.Fields(s.Kubectl("get", "node", s.node.Name, "-o",
		"jsonpath={.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion}"))
	fmt.Fprintf(&page, walkthroughHead, "kubelet "+version[0]+", "+version[1], "`kubectl apply -f deploy/polynic.yaml`")
	for _, chapter := range []struct {
		title, manifest string
		commands        []string
	}{
		{"Taps and veths", "multi-if-pod.yaml", []string{
			"kubectl apply -f multi-if-pod.yaml",
			"kubectl wait --for=condition=Ready pod/multi-if-pod",
			"kubectl exec multi-if-pod -- ip addr",
			"kubectl exec multi-if-pod -- ping -c 2 -I tap1 172.30.0.2",
			"kubectl get pod multi-if-pod -o '" + networkStatus + "'",
			"kubectl delete pod multi-if-pod",
		}},
		{"Memif interfaces", "vnf-pod.yaml", []string{
			"kubectl apply -f vnf-pod.yaml",
			"kubectl wait --for=condition=Ready pod/vnf-pod",
			"kubectl exec vnf-pod -- env | grep MEMIF",
			"kubectl exec vnf-pod -- cat /run/vpp/interfaces.json",
			"kubectl exec vnf-pod -- sh -c '(sleep 3; echo show port info 0; sleep 1; echo quit) | dpdk-testpmd --no-huge --no-pci --no-telemetry --no-shconf -m 96 --lcores 0@1,1@1" +
				" --vdev=net_memif0,role=client,id=0,socket-abstract=no,socket=$MEMIF_SOCKET,secret=$MEMIF_SECRET -- -i --total-num-mbufs=8192' | grep 'Link s'",
			"kubectl delete pod vnf-pod",
		}},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n`%s`:\n\n```yaml\n%s```\n\n```console\n", chapter.title, chapter.manifest, manifest(s.t, chapter.manifest))
		for _, command := range chapter.commands {
			fmt.Fprintf(&page, "$ %s\n%s", command, s.typed(command))
		}
		page.WriteString("```\n")
	}
	if *printWalkthrough {
		fmt.Printf("<!-- walkthrough -->\n%s<!-- end -->\n", page.String())
	}
	s.t.Logf("the transcript has %d lines", strings.Count(page.String(), "\n"))
}

// typed is what a command line prints that a user types beside the manifests.
func (s suite) typed(line string) string {
	s.t.Helper()
	dir, err := kubebin.Dir()
	if err != nil {
		s.t.Fatal(err)
	}
	var out []byte
	err = controlplane.Poll(5*time.Second, func() error {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = "testdata"
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KUBECONFIG="+s.Kubeconfig("admin"), "HOME="+s.Dir)
		out, err = cmd.CombinedOutput()
		if err != nil || len(out) == 0 {
			err = fmt.Errorf("%s: %w: %s", line, err, out)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return strings.TrimSuffix(string(out), "\n") + "\n"
}
