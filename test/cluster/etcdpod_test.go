// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
)

// What docs/etcd.md has people type.
const (
	certificates = "bin/polynic etcd-certs --host 192.168.56.101 --namespace default | kubectl apply -f -"
	takeSecret   = `for f in ca.crt tls.crt tls.key; do kubectl get secret polynic-etcd-client -o go-template="{{index .data \"$f\" | base64decode}}" > $f; done`
	withSecret   = " --cacert ca.crt --cert tls.crt --key tls.key "
	insideEtcd   = "kubectl -n polynic-system exec deployment/polynic-etcd -- "
)

// deployedEtcd has the etcd of deploy/etcd, as docs/etcd.md has it: with TLS, for
// agents, controller and pods, by each of its names, and for whoever has a
// certificate by the port of the nodes.
func (s suite) deployedEtcd() {
	s.documented("etcd.md", certificates)
	s.documented("etcd.md", "kubectl apply -k deploy/overlays/linux-etcd ")
	s.documented("etcd.md", "kubectl -n polynic-system rollout status deployment/polynic-etcd ds/polynic-agent deployment/polynic-controller")
	conf, _, _ := strings.Cut(manifest(s.t, "vnf-tls-pods.yaml"), "  contiv-etcd.conf:")
	for line := range strings.Lines(conf[strings.Index(conf, "endpoints:"):]) {
		s.expectDocumented("etcd.md", strings.TrimSpace(line))
	}
	s.typed("kubectl apply -f vnf-tls-pods.yaml -f examples/custom-configuration.yaml")
	s.waitPods(2)
	for _, pod := range []string{"vnf1", "vnf2"} {
		s.expectLog(pod, "memif1: memif0/0, ["+s.address(pod, "memif1")+"/32", 1)
		s.expectLog(pod, "memif1: connected", 1)
	}
	s.documented("custom-configuration.md", "kubectl wait --for=condition=Published customconfiguration/example-interconnect")
	s.expectReadable()
	s.expectWrittenAgain()
	s.renewCertificates()
	if restarts := s.Kubectl("get", "pods", "-n", "polynic-system", "-l", "app.kubernetes.io/component!=controller", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		s.t.Errorf("containers were started anew %s times", restarts)
	}
	s.typed("kubectl delete pod vnf1 vnf2 vnf3 && kubectl delete customconfiguration --all")
	s.expectNoKeys(insideEtcd + "etcdctl")
	s.uninstalledWithEtcd()
	s.documented("etcd.md", "kubectl apply -k deploy/overlays/linux\n")
	s.documented("install.md", "kubectl -n polynic-system rollout status ds/polynic-agent")
	s.node.WaitReady()
	s.deleted("etcd.md", "kubectl delete -k deploy/etcd\n")
	s.documented("etcd.md", "kubectl delete secret -A -l app.kubernetes.io/name=polynic,app.kubernetes.io/component=etcd\n")
	s.Kubectl("delete", "pod", "vnf1", "vnf2")
}

// uninstalledWithEtcd takes polynic off the node, in the steps of docs/install.md,
// while pods have keys in etcd, whose own pod is in the network that goes: the keys
// are gone with it, and what may stay is told.
func (s suite) uninstalledWithEtcd() {
	const odd = "/polynic/v1/published/odd/pod"
	s.typed("kubectl apply -f vnf-tls-pods.yaml")
	s.waitPods(2)
	for _, label := range []string{"vnf1", "vnf2"} {
		s.typed(insideEtcd + "etcdctl get --prefix --keys-only /vnf-agent/" + label + "/") // says something
	}
	s.typed(insideEtcd + "etcdctl put " + odd + " whose")

	s.documented("install.md", "kubectl -n polynic-system delete ds,deployment -l 'app.kubernetes.io/component in (agent,relay,controller,vpp)'")
	s.expectDocumented("install.md", "kubectl apply -f deploy/uninstall.yaml ")
	s.typed(`sed 's/^    #\(etcd:\|  \)/    \1/' deploy/uninstall.yaml | kubectl apply -f -`)
	s.documented("install.md", "kubectl -n polynic-system rollout status ds/polynic-uninstall\n")
	said := s.documented("install.md", "kubectl -n polynic-system logs -l app.kubernetes.io/component=uninstall -c uninstall --tail=-1")
	for _, want := range []string{
		"keys of the microservice label vnf1 removed from etcd\n", "keys of the microservice label vnf2 removed from etcd\n",
		"keys of pods of node " + s.node.Name + " may stay in etcd: ", "the record " + odd + " cannot be read", "settings removed\n",
	} {
		if !strings.Contains(said, want) {
			s.t.Errorf("the removal does not say %q:\n%s", want, said)
		}
	}
	if left := s.typed(insideEtcd + "etcdctl get --prefix --keys-only /"); strings.TrimSpace(left) != odd {
		s.t.Errorf("in etcd there is still\n%s", left)
	}
	s.deleted("install.md", "kubectl -n polynic-system delete ds,cm polynic-uninstall\n")
}

// expectNoKeys waits until an etcdctl finds nothing of anybody's.
func (s suite) expectNoKeys(etcdctl string) {
	s.t.Helper()
	s.eventually("keys", func() error {
		out, err := s.shell(etcdctl + " get --prefix --keys-only /").CombinedOutput()
		if err == nil && len(strings.Fields(string(out))) > 0 {
			err = fmt.Errorf("there are still\n%s", out)
		}
		return err
	})
}

// expectReadable reads in etcd what there is for a pod: where etcd runs, and from
// outside of the cluster, by etcdctl and by what only speaks JSON. Nobody who has no
// certificate gets anything.
func (s suite) expectReadable() {
	const read = "etcdctl get --prefix /vnf-agent/vnf1/"
	inside := s.inEtcd(read)
	address := s.address("vnf1", "memif1")
	if !strings.Contains(inside, "/vnf-agent/vnf1/config/vpp/v2/interfaces/memif1\n") || !strings.Contains(inside, address) {
		s.t.Errorf("%s: %s", read, inside)
	}
	const look = "kubectl -n polynic-system exec ds/polynic-agent -c agent -- polynic get interfaces --agent /run/polynic/inspect.sock -o wide"
	if shown := s.typed(look + " | grep memif1"); strings.Count(shown, " published") != 2 {
		s.t.Errorf("the node shows\n%s", shown)
	}
	if log := s.Kubectl("logs", "-n", "polynic-system", "deployment/polynic-etcd"); strings.Contains(log, "incompatible key usage") {
		s.t.Errorf("etcd does not take who is its own:\n%s", log)
	}
	if out, err := s.shell(takeSecret).CombinedOutput(); err != nil {
		s.t.Errorf("%s: %v: %s", takeSecret, err, out)
	}
	outside := s.documented("etcd.md", "etcdctl --endpoints=192.168.56.101:32379"+withSecret+"get --prefix /vnf-agent/vnf1/")
	if outside != inside {
		s.t.Errorf("at the port of the nodes there is\n%s\nand inside\n%s", outside, inside)
	}
	key := `-d '{"key":"L3ZuZi1hZ2VudC92bmYxL2NvbmZpZy92cHAvdjIvaW50ZXJmYWNlcy9tZW1pZjE="}' https://192.168.56.101:32379/v3/kv/range`
	if out, err := s.outsideShell("curl -sS -m 5" + withSecret + key); err != nil || !strings.Contains(out, `"count":"1"`) {
		s.t.Errorf("by JSON, from outside: %v: %s", err, out)
	}
	for _, line := range []string{
		"curl -sS -m 5 --cacert ca.crt " + key, "curl -sS -m 5 " + strings.Replace(key, "https:", "http:", 1),
		"etcdctl --command-timeout=2s --endpoints=192.168.56.101:32379 --cacert=ca.crt get --prefix /",
	} {
		if out, err := s.outsideShell(line); err == nil || strings.Contains(out, "vnf1") {
			s.t.Errorf("%s: %v: %s", line, err, out)
		}
	}
}

// inEtcd is what a command line of docs/etcd.md prints where etcd runs.
func (s suite) inEtcd(line string) string {
	s.t.Helper()
	s.expectDocumented("etcd.md", insideEtcd)
	s.expectDocumented("etcd.md", line)
	return s.typed(insideEtcd + line)
}

// outsideShell is a command line that is typed outside of the cluster.
func (s suite) outsideShell(line string) (string, error) {
	var out []byte
	err := s.outside.Do(func() (err error) {
		out, err = s.shell(line).CombinedOutput()
		return err
	})
	return string(out), err
}

// expectWrittenAgain removes by hand what there is for a label, as for a node that
// never comes back: what somebody has there is written again.
func (s suite) expectWrittenAgain() {
	if records := s.inEtcd("etcdctl get --prefix /polynic/v1/published/"); strings.Count(records, s.node.Name) != 2 {
		s.t.Errorf("the records of two pods are\n%s", records)
	}
	for _, line := range []string{"etcdctl del --prefix /vnf-agent/LABEL/config/", "etcdctl del --prefix /polynic/v1/published/LABEL/"} {
		if out := s.inEtcd(line); out != "0\n" { // nobody has the label LABEL
			s.t.Errorf("%s: %s", line, out)
		}
		for _, label := range []string{"vnf1", "vpp-cnf2"} {
			s.typed(insideEtcd + strings.Replace(line, "LABEL", label, 1))
		}
	}
	for _, label := range []string{"vnf1", "vpp-cnf2"} {
		s.eventually("keys of "+label, func() error {
			out, err := s.shell(insideEtcd + "etcdctl get --prefix --keys-only /vnf-agent/" + label + "/").CombinedOutput()
			if err == nil && len(strings.Fields(string(out))) < 2 {
				err = fmt.Errorf("there are %s", out)
			}
			return err
		})
	}
}

// renewCertificates has etcd and its clients get new ones of a new authority. The
// agent goes on: it reads them from its Secret, which kubelet renews within two
// minutes, or when something else of the pod changes.
func (s suite) renewCertificates() {
	s.documented("etcd.md", certificates)
	s.documented("etcd.md", "kubectl -n polynic-system rollout restart deployment/polynic-etcd")
	s.typed("kubectl -n polynic-system rollout status deployment/polynic-etcd")
	s.Kubectl("annotate", "pod", "-n", "polynic-system", "--all", "example.com/renewed=")
	pod := strings.NewReplacer("vnf1", "vnf3").Replace(strings.Split(manifest(s.t, "vnf-tls-pods.yaml"), "---\n")[1])
	begin := time.Now()
	s.Apply(pod)
	controlplane.Eventually(s.t, 2*time.Minute, func() error {
		_, err := s.TryKubectl("wait", "--for=condition=Ready", "pod/vnf3", "--timeout=1s")
		return err
	})
	s.t.Logf("a pod is ready %s after etcd had new certificates", time.Since(begin).Round(10*time.Millisecond))
	s.expectLog("vnf3", "memif1: connected", 1)
}
