// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/kubenode"
	"github.com/polynic/polynic/test/registry"
)

// loadPod serves at a custom interface, and at eth0 for those whom nobody sends
// elsewhere. It answers until everybody may have heard of its end.
func loadPod(name, kind string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
  labels: {app: load}
  annotations: {contivpp.io/custom-if: "%[2]s1/%[2]s", contivpp.io/service-endpoint-if: %[2]s1}
spec:
  containers:
  - name: web
    image: web
    command: [sh, -c, "touch /tmp/ready; exec web serve 8080"]
    readinessProbe: {exec: {command: [ls, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
    lifecycle: {preStop: {sleep: {seconds: 2}}}
---
`, name, kind)
}

const loadService = `
apiVersion: v1
kind: Service
metadata: {name: load}
spec:
  type: NodePort
  selector: {app: load}
  ports: [{port: 80, targetPort: 8080, nodePort: 30083}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: client, image: web}]}
---
`

// servicesUnderLoad has the backends of a service at custom interfaces come and go,
// and the agent start anew, while clients connect one after the other, from a pod and
// from the node: no connection fails.
func (s suite) servicesUnderLoad() {
	program := s.addWeb()
	s.Apply(loadService + loadPod("one", "tap") + loadPod("two", "veth"))
	s.waitPods(3)
	s.expectBackends("one", "two")
	fromPod := s.startLoad(s.Command("exec", "client", "--", "web", "load", s.loadAddress()), func(*exec.Cmd) error {
		_, err := s.TryKubectl("exec", "client", "--", "killall", "web")
		return err
	})
	nodePort := net.JoinHostPort(kubenode.UplinkAddress, "30083")
	fromNode := s.startLoad(exec.Command(program, "load", nodePort), func(cmd *exec.Cmd) error {
		return cmd.Process.Signal(unix.SIGTERM)
	})

	s.Apply(loadPod("three", "tap"))
	s.expectBackends("one", "two", "three")
	s.exec("one", "rm", "/tmp/ready")
	s.expectBackends("two", "three")
	s.exec("one", "touch", "/tmp/ready")
	s.expectBackends("one", "two", "three")
	s.Kubectl("delete", "pod", "two", "--wait=false")
	s.expectBackends("one", "three")
	s.agent.RestartAgent()
	s.Apply(loadPod("four", "veth"))
	s.expectBackends("one", "three", "four")
	s.Kubectl("delete", "pod", "three", "--wait=false")
	s.expectBackends("one", "four")

	for from, said := range map[string]string{"a pod": fromPod(), "the node": fromNode()} {
		s.t.Logf("from %s:\n%s", from, said)
		for _, host := range []string{"one", "two", "three", "four"} {
			if !strings.Contains(said, "\n"+host+" answered ") {
				s.t.Errorf("from %s: %s never answered", from, host)
			}
		}
		if !strings.Contains(said, "\n0 connections failed\n") {
			s.t.Errorf("from %s: connections failed", from)
		}
	}
	s.Kubectl("delete", "pod", "one", "two", "three", "four", "client", "--ignore-not-found", "--grace-period=1")
	s.Kubectl("delete", "service", "load")
}

// addWeb adds the image of the program that is both ends of a service, and gives the
// program's path on the node.
func (s suite) addWeb() (program string) {
	s.t.Helper()
	program = compiled(s.t, "test/programs/web")
	files := append([]registry.File{{Path: "/usr/bin/web", From: program}}, s.tools...)
	s.images.Add(registry.Image{Files: files, Entrypoint: waiting}, "docker.io/library/web:latest")
	return program
}

// loadAddress is the cluster's address of the service, and its port.
func (s suite) loadAddress() string {
	s.t.Helper()
	return net.JoinHostPort(s.Kubectl("get", "service", "load", "-o", "jsonpath={.spec.clusterIP}"), "80")
}

// startLoad starts clients; end ends them. The function that it gives does that, and
// gives what they said.
func (s suite) startLoad(cmd *exec.Cmd, end func(*exec.Cmd) error) (finish func() string) {
	s.t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	out := bufio.NewReader(pipe)
	if first, err := out.ReadString('\n'); err != nil {
		s.t.Fatalf("%s said %q: %v", cmd, first, err)
	}
	return func() string {
		s.t.Helper()
		if err := end(cmd); err != nil {
			s.t.Fatalf("%s does not end: %v", cmd, err)
		}
		said, err := io.ReadAll(out)
		if err != nil {
			s.t.Error(err)
		}
		return "\n" + string(said)
	}
}

// expectBackends waits until the node serves the service at the custom interfaces of
// these pods, and of no other.
func (s suite) expectBackends(pods ...string) {
	s.t.Helper()
	slices.Sort(pods)
	controlplane.Eventually(s.t, time.Minute, func() error {
		list, err := inspect.NewClient("/run/polynic/inspect.sock").Services(s.t.Context())
		if err != nil {
			return err
		}
		at := slices.IndexFunc(list, func(i inspect.Service) bool { return i.Name == "load" })
		if at < 0 {
			return errors.New("the service is not known")
		}
		var used []string
		for _, e := range list[at].Ports[0].Endpoints {
			if e.Used && e.Interface != "" {
				used = append(used, strings.TrimPrefix(e.Pod, "default/"))
			}
		}
		slices.Sort(used)
		if state := list[at].State; state != inspect.ServiceServed || !slices.Equal(used, pods) {
			return fmt.Errorf("it is %s by %v, want %v: %+v", state, used, pods, list[at])
		}
		return nil
	})
}
