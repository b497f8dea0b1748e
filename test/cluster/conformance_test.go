// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/registry"
)

// conformanceCases are what every cluster has to pass, as far as it is the network's.
// None needs more than a node.
const conformanceCases = `\[sig-network\]`

// serviceCases are those of which a service has a part in the packets.
const serviceCases = `\[sig-network\] (API Server|DNS|EndpointSlice|HostPort|Networking|Proxy|Service endpoints|Services)`

// conformanceWorkers is how many cases run at once. They wait most of the time.
const conformanceWorkers = 4

// TestConformance runs Kubernetes' own cases of the network on a cluster with the
// product as users get it, and counts; then those of services again, once the
// product has every service and there is no kube-proxy.
func TestConformance(t *testing.T) {
	needPrograms(t)
	c := startCluster(t)
	c.addProduct()
	c.addConformanceImages()
	c.deploy()
	c.startDNS()
	c.conform("beside kube-proxy", conformanceCases)
	c.endProxy()
	c.conform("without kube-proxy", serviceCases)
	c.expectNoProxy()
}

// conform has the cluster pass the cases that a regular expression chooses.
func (c *cluster) conform(how, cases string) {
	c.t.Run(how, func(t *testing.T) {
		own := *c
		own.t = t
		begin := time.Now()
		run, out := own.runConformance(cases)
		count := map[string]int{}
		for _, k := range run {
			count[k.State]++
			t.Run(k.name(), func(t *testing.T) {
				t.Logf("%s after %s", k.State, time.Duration(k.RunTime).Round(100*time.Millisecond))
				if k.State != "passed" {
					at := k.Failure.Location
					t.Errorf("%s\n%s:%d\n%s", k.Failure.Message, at.FileName, at.LineNumber, k.CapturedGinkgoWriterOutput)
				}
			})
		}
		published := own.publishedCases(cases)
		t.Logf("%d of %d of Kubernetes' conformance cases of the network passed %s, in %s: %v",
			count["passed"], published, how, time.Since(begin).Round(time.Second), count)
		if len(run) != published || published == 0 {
			t.Errorf("%d cases were run, and Kubernetes has %d:\n%s", len(run), published, out)
		}
	})
}

// endProxy has the product resolve every service, and takes kube-proxy away, in the
// steps of docs/services.md.
func (c *cluster) endProxy() {
	c.t.Helper()
	server, err := url.Parse(c.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	const namespace = "polynic-system"
	config := c.Kubectl("get", "configmap", "-n", namespace, "polynic-agent", "-o", `jsonpath={.data.agent\.yaml}`)
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"agent.yaml": config + "\nservices: {mode: all}\n"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.Kubectl("patch", "configmap", "-n", namespace, "polynic-agent", "--type=merge", "-p", string(patch))
	c.Kubectl("set", "env", "-n", namespace, "daemonset", "polynic-agent", "-c", "agent",
		"KUBERNETES_SERVICE_HOST="+server.Hostname(), "KUBERNETES_SERVICE_PORT="+server.Port())
	c.Kubectl("rollout", "status", "-n", namespace, "daemonset", "polynic-agent", "--timeout=2m")
	controlplane.Eventually(c.t, time.Minute, func() error {
		out, err := exec.Command("nft", "list", "table", "inet", "polynic-services").CombinedOutput()
		if err == nil && !bytes.Contains(out, []byte(controlplane.ServerService+" . ")) {
			err = fmt.Errorf("the service of the API server is not there:\n%s", out)
		}
		return err
	})
	c.node.Proxy.Kill()
	if out, err := exec.Command(kubebin.Need(c.t, "kube-proxy"), "--cleanup").CombinedOutput(); err != nil {
		c.t.Fatalf("kube-proxy --cleanup: %v: %s", err, out)
	}
	c.expectNoProxy()
}

// expectNoProxy looks whether kube-proxy's rules are gone, or nothing without it was
// proved.
func (c *cluster) expectNoProxy() {
	c.t.Helper()
	out, err := exec.Command("nft", "list", "tables").CombinedOutput()
	if err != nil || strings.Contains(string(out), "kube-proxy") || !strings.Contains(string(out), "polynic-services") {
		c.t.Errorf("tables without kube-proxy: %v:\n%s", err, out)
	}
}

// publishedCases counts the cases in Kubernetes' own list.
func (c *cluster) publishedCases(cases string) int {
	c.t.Helper()
	out, err := exec.Command(kubebin.Need(c.t, "e2e.test"), "--list-conformance-tests").Output()
	if err != nil {
		c.t.Fatalf("list of conformance cases: %v", err)
	}
	return len(regexp.MustCompile(`(?m)^\s*codename: .?`+cases).FindAll(out, -1))
}

// conformanceCase is what ginkgo's report says of one.
type conformanceCase struct {
	ContainerHierarchyTexts    []string
	LeafNodeType, LeafNodeText string
	State                      string
	RunTime                    int64
	CapturedGinkgoWriterOutput string
	Failure                    struct {
		Message  string
		Location struct {
			FileName   string
			LineNumber int
		}
	}
}

func (k conformanceCase) name() string {
	return strings.Join(append(slices.Clone(k.ContainerHierarchyTexts), k.LeafNodeText), " ")
}

// runConformance gives the chosen cases that were run, whatever became of them, and what
// was said meanwhile.
func (c *cluster) runConformance(cases string) ([]conformanceCase, string) {
	c.t.Helper()
	report := filepath.Join(c.t.TempDir(), "report.json")
	cmd := exec.Command(kubebin.Need(c.t, "ginkgo"),
		fmt.Sprint("--procs=", conformanceWorkers), "--focus="+cases+`.*\[Conformance\]`,
		"--timeout=10m", "--no-color", "--silence-skips", "--succinct", "--json-report="+filepath.Base(report), "--output-dir="+filepath.Dir(report),
		kubebin.Need(c.t, "e2e.test"), "--",
		"--kubeconfig="+c.Kubeconfig("admin", "system:masters"), "--kubectl-path="+kubebin.Need(c.t, "kubectl"),
		"--provider=local", "--num-nodes=1", "--dump-logs-on-failure=false")
	cmd.Env = append(os.Environ(), "HOME="+c.Dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Logf("ginkgo: %v", err) // the cases say why
	}
	data, err := os.ReadFile(report)
	if err != nil {
		c.t.Fatalf("%v:\n%s", err, out)
	}
	var suites []struct{ SpecReports []conformanceCase }
	if err := json.Unmarshal(data, &suites); err != nil {
		c.t.Fatal(err)
	}
	var run []conformanceCase
	for _, s := range suites {
		for _, k := range s.SpecReports {
			// Beside those there is what goes before and after all, and what was not
			// chosen, for which there is no message.
			chosen := k.State != "skipped" || k.Failure.Message != ""
			if isCase := k.LeafNodeType == "It"; isCase && chosen || !isCase && k.State != "passed" && chosen {
				run = append(run, k)
			}
		}
	}
	return run, string(out)
}

// addConformanceImages puts the images together that the cases name, which are
// agnhost with what its Dockerfile installs, and others with less than that.
func (c *cluster) addConformanceImages() {
	c.t.Helper()
	tools := registry.Program(c.t, need.Command(c.t, need.Cluster, "curl"), need.Command(c.t, need.Cluster, "dig"),
		need.Command(c.t, need.Cluster, "getent"), need.Command(c.t, need.Cluster, "ip"))
	tools = append(tools, registry.File{Path: "/etc/nsswitch.conf", Text: "hosts: files dns\n"})
	netcat, dash := need.Command(c.t, need.Cluster, "nc.openbsd"), need.Command(c.t, need.Cluster, "dash")
	tools = append(append(tools, registry.Program(c.t, netcat, dash)...),
		// Busybox' shell runs its own commands whatever else there is.
		registry.File{Path: "/usr/bin/nc", From: netcat}, registry.File{Path: "/bin/sh", From: dash})
	tools = append(tools, registry.Busybox(c.t)...)
	agnhost := registry.Image{Files: slices.Clone(tools), Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}
	for _, name := range []string{"agnhost", "localhost.crt", "localhost.key"} {
		agnhost.Files = append(agnhost.Files, registry.File{Path: "/" + name, From: kubebin.Need(c.t, name)})
	}
	const images = "registry.k8s.io/e2e-test-images/"
	c.images.Add(agnhost, images+"agnhost:2.63.0")
	c.images.Add(registry.Image{Files: tools, Entrypoint: []string{"/bin/sh"}},
		images+"glibc-dns-testing:2.0.0", images+"busybox:1.37.0-1")
}
