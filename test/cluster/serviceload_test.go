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

	"github.com/polynic/polynic/internal/config"
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
  annotations: {contivpp.io/custom-if: serve/%[2]s, contivpp.io/service-endpoint-if: serve}
spec:
  containers:
  - name: web
    image: web
    command: [sh, -c, "touch /tmp/ready; exec web serve 8080"]
    readinessProbe: {exec: {command: [ls, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
    lifecycle: {preStop: {sleep: {seconds: 5}}}
---
`, name, kind)
}

// loadNodePort is where the service is asked for at the node.
const loadNodePort = kubenode.UplinkAddress + ":30083"

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

// servicesUnderLoad has the backends of a service at custom interfaces come and go
// while clients connect one after the other, from a pod and from the node: no
// connection fails. Nor does one where an agent that resolves no services takes the
// place of this one, with which the service is kube-proxy's.
func (s suite) servicesUnderLoad() {
	program := s.addWeb()
	s.Apply(loadService + loadPod("one", "tap") + loadPod("two", "veth"))
	s.waitPods(3)
	s.expectBackends("one", "two")
	fromPod := s.startLoad(s.Command("exec", "client", "--", "web", "load", s.loadAddress()), func(*exec.Cmd) error {
		_, err := s.TryKubectl("exec", "client", "--", "killall", "web")
		return err
	})
	fromNode := s.startLoad(exec.Command(program, "load", loadNodePort), func(cmd *exec.Cmd) error {
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
	s.Apply(loadPod("four", "veth"))
	s.expectBackends("one", "three", "four")
	s.withoutServices("one", "three", "four")
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

// withoutServices has an agent for a while that resolves no services: what was
// published of the pods goes, and they answer at eth0; then all is as before.
func (s suite) withoutServices(pods ...string) {
	s.t.Helper()
	s.setServices(config.ServicesOff)
	s.expectNoRedirects()
	s.expectAnswers("eth0", pods...)
	s.setServices(config.ServicesCustom)
	s.eventually("slices", func() error {
		published, err := s.TryKubectl("get", "endpointslices", "-l", "contivpp.io/service-redirect", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}")
		for _, pod := range pods {
			if address := s.address(pod, "serve"); err == nil && !slices.Contains(strings.Fields(published), address) {
				err = fmt.Errorf("%s of %s is not among %s", address, pod, published)
			}
		}
		return err
	})
	s.expectAnswers("serve", pods...)
}

// expectAnswers waits until all of these pods, and nobody else, answer at one of their
// interfaces.
func (s suite) expectAnswers(name string, pods ...string) {
	s.t.Helper()
	const enough = 12 // for each of the pods to be chosen, most times
	var want []string
	for _, pod := range pods {
		want = append(want, pod+" at "+s.address(pod, name)+":8080")
	}
	slices.Sort(want)
	url := "http://" + s.loadAddress()
	for from, get := range map[string]func() (string, error){
		"a pod": s.fromClient(slices.Repeat([]string{url}, enough)...),
		"the node": func() (all string, err error) {
			for range enough {
				said, failed := fetch("http://" + loadNodePort)
				all, err = all+said, errors.Join(err, failed)
			}
			return all, err
		},
	} {
		s.eventually("from "+from, func() error {
			all, err := get()
			var got []string
			for line := range strings.Lines(all) {
				who, _, _ := strings.Cut(line, " to ")
				got = append(got, who)
			}
			slices.Sort(got)
			if got = slices.Compact(got); err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("%v answer, want %v", got, want)
			}
			return err
		})
	}
}

// setServices replaces the agent by one that resolves other services.
func (s suite) setServices(mode string) {
	s.t.Helper()
	s.agent.Config.Services.Mode = mode
	s.agent.WriteConfig()
	s.agent.RestartAgent()
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
