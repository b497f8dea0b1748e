// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/polynic/polynic/test/need"
	"github.com/polynic/polynic/test/registry"
)

// vppPart is one thing that is tried on a cluster where VPP switches.
type vppPart struct {
	name string
	try  func(vppSuite)
}

// vppSuite is a cluster with one of the overlays that have VPP.
type vppSuite struct {
	suite
	overlay string // its folder
	before  nodeState
}

// TestVPP has VPP switch as users deploy it: in a pod of its own that is not
// privileged. The relay holds the taps.
func TestVPP(t *testing.T) {
	onVPP(t, "vpp", []vppPart{
		{"interfaces", vppSuite.everyInterface},
		{"vnf-pod", func(s vppSuite) { s.memif() }},
		{"host port", func(s vppSuite) { s.hostPort() }},
		{"services", vppSuite.servicesOfBoth},
		{"service endpoints", func(s vppSuite) { s.serviceEndpoints() }},
		{"views", vppSuite.views},
		{"agent replaced", vppSuite.agentReplacedBesideVPP},
		{"VPP replaced", func(s vppSuite) { s.replaced("vpp") }},
		{"relay replaced", func(s vppSuite) { s.replaced("relay") }},
		{"a thousand services", vppSuite.manyServices},
		{"granted", vppSuite.granted},
		{"uninstalled", vppSuite.uninstalledWithVPP},
	})
}

// TestVPPTaps has a VPP that may have taps of its own. Where the machine has no
// /dev/vhost-net the relay holds them all the same.
func TestVPPTaps(t *testing.T) {
	onVPP(t, "vpp-taps", []vppPart{
		{"interfaces", vppSuite.everyInterface},
		{"agent replaced", vppSuite.agentReplacedBesideVPP},
		{"VPP replaced", func(s vppSuite) { s.replaced("vpp") }},
		{"relay replaced", func(s vppSuite) { s.replaced("relay") }},
		{"uninstalled", vppSuite.uninstalledWithVPP},
	})
}

// onVPP has parts tried in turn on a cluster of their own.
func onVPP(t *testing.T, overlay string, parts []vppPart) {
	t.Helper()
	need.VPP(t)
	needPrograms(t)
	c := startCluster(t)
	c.addProduct()
	c.addVPP()
	s := vppSuite{suite: suite{cluster: c}, overlay: "../../deploy/overlays/" + overlay, before: readNode(t)}
	s.deployVPP()
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			own := *c
			own.t = t
			t.Cleanup(own.clear)
			s := s
			s.suite = suite{cluster: &own}
			part.try(s)
		})
	}
}

// addVPP puts an image together of this machine's VPP, with the plugins that the
// overlay has it load; and one of an application that has memifs.
func (c *cluster) addVPP() {
	c.t.Helper()
	program := need.VPP(c.t)
	vppctl := filepath.Join(filepath.Dir(program), "vppctl")
	need.File(c.t, need.Switch, vppctl)
	programs := append(vppPlugins(c.t, program), program, vppctl)
	files := append(registry.Program(c.t, programs...),
		registry.File{Path: "/usr/bin/vpp", Link: program}, registry.File{Path: "/usr/bin/vppctl", Link: vppctl})
	c.images.Add(registry.Image{Files: files}, "docker.io/library/vpp:25.10")

	echo := compiled(c.t, "examples/memif-echo")
	c.images.Add(registry.Image{
		Files:      append(registry.Program(c.t, need.Command(c.t, need.Cluster, "ip")), append(registry.Busybox(c.t), registry.File{Path: "/usr/bin/memif-echo", From: echo})...),
		Entrypoint: []string{"/usr/bin/memif-echo"},
	}, "docker.io/library/memif-echo:latest")
}

// vppPlugins are the files of the plugins that the overlay's startup.conf names, as
// far as this VPP has them.
func vppPlugins(t *testing.T, program string) []string {
	t.Helper()
	manifest, err := os.ReadFile("../../deploy/overlays/vpp/vpp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	program, err = filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(filepath.Dir(filepath.Dir(program)), "lib")
	var files []string
	for _, name := range regexp.MustCompile(`plugin (\w+_plugin\.so) \{ enable \}`).FindAllSubmatch(manifest, -1) {
		for _, pattern := range []string{"vpp_plugins", "*/vpp_plugins"} {
			found, err := filepath.Glob(filepath.Join(lib, pattern, string(name[1])))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	return files
}

// deployVPP applies the overlay and waits until the node is ready by it.
func (s vppSuite) deployVPP() {
	s.t.Helper()
	begin := time.Now()
	s.Kubectl("apply", "-k", s.overlay)
	for _, name := range []string{"vpp", "relay", "agent", "controller"} {
		s.waitPods(1, "-n", "polynic-system", "-l", "app.kubernetes.io/component="+name)
	}
	s.node.WaitReady()
	s.t.Logf("installed and ready after %s: %s", time.Since(begin).Round(10*time.Millisecond), s.vppctl("show", "version"))
}

// vppctl runs a command of VPP's command line, in its pod.
func (s vppSuite) vppctl(command ...string) string {
	s.t.Helper()
	return s.Kubectl(append([]string{
		"exec", "-n", "polynic-system", "daemonset/polynic-vpp", "--", "vppctl", "-s", "/run/polynic/vpp/cli.sock",
	}, command...)...)
}
