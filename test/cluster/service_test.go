// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubenode"
)

const webManifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: web
    image: shell
    command: ["sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
    readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

// services are reached from pods, the node and the world outside, whatever the
// type of the pods' main interface. kube-proxy does that, and the name server is
// a stand-in.
func (s suite) services() {
	s.startDNS()
	for _, kind := range []string{"veth", "tap"} {
		s.t.Run(kind, func(t *testing.T) {
			s.setEth0(kind)
			defer s.setEth0("auto")
			s.Apply(webManifest + "---" + shellPod("client", ""))
			s.waitPods(1, "-l", "app=web")
			s.waitPods(1, "-l", "app=client")
			s.expectService(t)
			s.Kubectl("delete", "pod", "web", "client", "--grace-period=1")
			s.Kubectl("delete", "service", "web")
		})
	}
}

// setEth0 has later pods get a main interface of a type.
func (s suite) setEth0(kind string) {
	s.t.Helper()
	s.agent.Config.Network.Eth0 = kind
	s.agent.WriteConfig()
	s.agent.RestartAgent()
}

func (s suite) expectService(t *testing.T) {
	t.Helper()
	addresses := strings.Fields(s.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIPs[0]} {.spec.clusterIPs[1]}"))
	if len(addresses) != 2 {
		t.Fatalf("the Service has %v", addresses)
	}
	v4, v6 := "http://"+addresses[0], "http://["+addresses[1]+"]"
	nodePort := "http://" + net.JoinHostPort(kubenode.UplinkAddress, "30080")
	fromPod := func(pod, url string) func() (string, error) {
		return func() (string, error) {
			return s.TryKubectl("exec", pod, "--", "curl", "-sS", "-m", "2", url)
		}
	}
	for name, get := range map[string]func() (string, error){
		"a pod, cluster IP":      fromPod("client", v4),
		"a pod, cluster IPv6":    fromPod("client", v6),
		"a pod, name":            fromPod("client", "http://web"),
		"a pod, long name":       fromPod("client", "http://web.default.svc."+kubenode.ClusterDomain),
		"a pod, node port":       fromPod("client", nodePort),
		"the serving pod itself": fromPod("web", v4),
		"the node, cluster IP":   func() (string, error) { return fetch(v4) },
		"the node, cluster IPv6": func() (string, error) { return fetch(v6) },
		"the node, node port":    func() (string, error) { return fetch(nodePort) },
		"the outside, node port": func() (out string, err error) { return s.fromOutside(nodePort) },
		"the outside, node port, v6": func() (out string, err error) {
			return s.fromOutside("http://" + net.JoinHostPort(kubenode.UplinkAddress6, "30080"))
		},
	} {
		err := controlplane.Poll(time.Minute, func() error {
			out, err := get()
			if err == nil && strings.TrimSpace(out) != "web" {
				err = fmt.Errorf("answer %q", out)
			}
			return err
		})
		if err != nil {
			t.Errorf("from %s: %v", name, err)
		}
	}
}

func fetch(url string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func (s suite) fromOutside(url string) (string, error) {
	cmd := exec.Command("curl", "-sS", "-m", "2", url)
	var out []byte
	err := s.outside.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}
