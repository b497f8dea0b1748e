// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubenode"
	"github.com/polynic/polynic/test/registry"
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
// kube-proxy, which has the others. One is the example of an application at a memif.
func (s suite) serviceEndpoints() {
	s.startDNS()
	s.images.Add(registry.Image{Files: []registry.File{{Path: "/memif-http", From: compiled(s.t, "examples/memif-http")}}},
		"docker.io/library/memif-http:devel")
	example, err := os.ReadFile("../../examples/memif-service/memif-service.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Apply(endpointService + endpointPod("tap") + endpointPod("veth") + string(example))
	s.waitPods(4)
	s.expectEndpoints("at", "30081", "web-tap", "web-veth")
	s.expectEndpoints("memif-web", s.Kubectl("get", "service", "memif-web", "-o", "jsonpath={.spec.ports[0].nodePort}"), "memif-web answers")
	// The API server is kube-proxy's.
	s.expectServed("a pod, the API server", "forbidden", s.fromClient("-k", "https://"+controlplane.ServerService))

	// Others learn by slices of polynic's own; Kubernetes' say what they said.
	for pod, name := range map[string]string{"web-tap": "tap1", "web-veth": "veth1", "memif-web": "memif1"} {
		custom := s.address(pod, name)
		s.eventually("slices", func() error {
			own, err := s.TryKubectl("get", "endpointslices", "-l", "contivpp.io/service-redirect", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
			if err == nil && !slices.Contains(strings.Fields(own), custom) {
				err = fmt.Errorf("%s of %s has %s; published are %s", name, pod, custom, own)
			}
			return err
		})
		theirs := s.Kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		if slices.Contains(strings.Fields(theirs), custom) {
			s.t.Errorf("%s of %s has %s, which is among the endpoints %s", name, pod, custom, theirs)
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

	s.Kubectl("delete", "pod", "web-tap", "web-veth", "memif-web", "client", "--grace-period=1")
	s.Kubectl("delete", "service", "at", "late", "memif-web")
	s.expectNoRedirects()
}

// expectNoRedirects waits until nothing is published of where pods serve.
func (s suite) expectNoRedirects() {
	s.t.Helper()
	s.eventually("slices", func() error {
		out, err := s.TryKubectl("get", "endpointslices", "-l", "contivpp.io/service-redirect", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("there are still %s", out)
		}
		return err
	})
}

// expectEndpoints has a service asked at all its addresses by whoever may ask, until
// each of its pods has answered.
func (s suite) expectEndpoints(service, port string, hosts ...string) {
	s.t.Helper()
	url := "http://" + s.Kubectl("get", "service", service, "-o", "jsonpath={.spec.clusterIP}")
	nodePort := "http://" + net.JoinHostPort(kubenode.UplinkAddress, port)
	for name, get := range map[string]func() (string, error){
		"a pod, cluster IP":      s.fromClient(url),
		"a pod, name":            s.fromClient("http://" + service),
		"a pod, node port":       s.fromClient(nodePort),
		"the node, cluster IP":   func() (string, error) { return fetch(url) },
		"the node, node port":    func() (string, error) { return fetch(nodePort) },
		"the outside, node port": func() (string, error) { return s.fromOutside(nodePort) },
	} {
		for _, host := range hosts {
			s.expectServed(name+" of "+service, host, get)
		}
	}
}

// fromClient asks from the pod "client".
func (s suite) fromClient(curl ...string) func() (string, error) {
	return func() (string, error) {
		return s.TryKubectl(append([]string{"exec", "client", "--", "curl", "-sS", "-m", "2"}, curl...)...)
	}
}

// eventually tries until it succeeds.
func (s suite) eventually(what string, try func() error) {
	s.t.Helper()
	if err := controlplane.Poll(time.Minute, try); err != nil {
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
