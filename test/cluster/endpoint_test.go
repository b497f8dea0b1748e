// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubenode"
)

// endpointPod serves at a custom interface and at no other: who gets an answer went
// there.
func endpointPod(kind string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: web-%[1]s
  labels: {app: at}
  annotations: {contivpp.io/custom-if: "%[1]s1/%[1]s", contivpp.io/service-endpoint-if: %[1]s1}
spec:
  containers:
  - name: web
    image: shell
    command:
    - sh
    - -c
    - |
      mkdir /www; hostname > /www/index.html
      at=$(ip -4 -o addr show dev %[1]s1 | sed 's/.*inet \([0-9.]*\).*/\1/')
      exec httpd -f -p $at:8080 -h /www
    readinessProbe: {exec: {command: [ls, /www/index.html]}, periodSeconds: 1}
---
`, kind)
}

const endpointService = `
apiVersion: v1
kind: Service
metadata: {name: at}
spec:
  type: NodePort
  externalIPs: [192.0.2.200]
  selector: {app: at}
  ports: [{port: 80, targetPort: 8080, nodePort: 30081}]
---
`

// serviceEndpoints are services of pods that answer at a custom interface, beside
// kube-proxy, which has the others.
func (s suite) serviceEndpoints() {
	s.startDNS()
	s.Apply(endpointService + endpointPod("tap") + endpointPod("veth") + shellPod("client", ""))
	s.waitPods(2, "-l", "app=at")
	s.waitPods(1, "-l", "app=client")
	address := s.Kubectl("get", "service", "at", "-o", "jsonpath={.spec.clusterIP}")
	url, nodePort := "http://"+address, "http://"+net.JoinHostPort(kubenode.UplinkAddress, "30081")
	fromPod := func(url string) func() (string, error) {
		return func() (string, error) {
			return s.TryKubectl("exec", "client", "--", "curl", "-sS", "-m", "2", url)
		}
	}
	for name, get := range map[string]func() (string, error){
		"a pod, cluster IP":      fromPod(url),
		"a pod, name":            fromPod("http://at"),
		"a pod, node port":       fromPod(nodePort),
		"the node, cluster IP":   func() (string, error) { return fetch(url) },
		"the node, node port":    func() (string, error) { return fetch(nodePort) },
		"the outside, node port": func() (string, error) { return s.fromOutside(nodePort) },
	} {
		for _, host := range []string{"web-tap", "web-veth"} {
			s.expectServed(name, host, get)
		}
	}
	// The API server is kube-proxy's.
	s.expectServed("a pod, the API server", "forbidden", func() (string, error) {
		return s.TryKubectl("exec", "client", "--", "curl", "-sSk", "-m", "2", "https://"+controlplane.ServerService)
	})

	// Others learn by slices of polynic's own; Kubernetes' say what they said.
	own := s.Kubectl("get", "endpointslices", "-l", "contivpp.io/service-redirect", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
	theirs := s.Kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=at", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
	for _, pod := range []string{"tap", "veth"} {
		if custom := s.address("web-"+pod, pod+"1"); !strings.Contains(own, custom) || strings.Contains(theirs, custom) {
			s.t.Errorf("%s1 has %s; published are %s, endpoints %s", pod, custom, own, theirs)
		}
	}

	// Another service with the same external address is told of that, and served
	// otherwise.
	s.Apply(strings.NewReplacer("{name: at}", "{name: late}", "30081", "30082").Replace(endpointService))
	s.eventually("events", func() error {
		out, err := s.TryKubectl("get", "events", "--field-selector", "involvedObject.kind=Service,involvedObject.name=late",
			"-o", "jsonpath={.items[*].reason} {.items[*].message}")
		if err == nil && !strings.Contains(out, "ServiceRefused 192.0.2.200:80/TCP: service default/at has it already") {
			err = fmt.Errorf("events: %s", out)
		}
		return err
	})
	s.expectServed("the node, another service", "web-tap", func() (string, error) {
		return fetch("http://" + s.Kubectl("get", "service", "late", "-o", "jsonpath={.spec.clusterIP}"))
	})

	s.Kubectl("delete", "pod", "web-tap", "web-veth", "client", "--grace-period=1")
	s.Kubectl("delete", "service", "at", "late")
	s.eventually("slices", func() error {
		out, err := s.TryKubectl("get", "endpointslices", "-l", "contivpp.io/service-redirect", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("there are still %s", out)
		}
		return err
	})
}

// eventually tries until it succeeds.
func (s suite) eventually(what string, try func() error) {
	s.t.Helper()
	if err := controlplane.Poll(20*time.Second, try); err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
}

// expectServed asks until a host answers.
func (s suite) expectServed(from, host string, get func() (string, error)) {
	s.t.Helper()
	s.eventually("from "+from, func() error {
		out, err := get()
		if err == nil && !strings.Contains(out, host) {
			err = fmt.Errorf("answer %q, want %s", out, host)
		}
		return err
	})
}
