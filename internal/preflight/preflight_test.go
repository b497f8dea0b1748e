// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/preflight"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

const (
	all     = "Name:\tx\nCapBnd:\t000001ffffffffff\n"
	docker  = "Name:\tx\nCapBnd:\t00000000a80425fb\n" // what container runtimes give
	systemd = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n25 22 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n"
	private = "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n25 22 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n" +
		"26 25 0:22 / /run/netns rw master:5 - tmpfs tmpfs rw\n"
)

// node is a good one, in a folder.
func node(t *testing.T) preflight.Config {
	t.Helper()
	c := preflight.Default()
	c.Root = t.TempDir()
	c.Proc = filepath.Join(c.Root, "proc")
	put(t, c, "/proc/self/status", all)
	put(t, c, "/proc/1/mountinfo", systemd)
	put(t, c, "/opt/cni/bin/loopback", "")
	put(t, c, "/etc/cni/net.d/99-other.conflist", "")
	put(t, c, "/etc/cni/net.d/00-notes.txt", "")
	put(t, c, "/var/lib/kubelet/device-plugins/kubelet.sock", "")
	put(t, c, "/var/lib/kubelet/pod-resources/kubelet.sock", "")
	return c
}

func put(t *testing.T, c preflight.Config, path, text string) {
	t.Helper()
	path = filepath.Join(c.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, c preflight.Config, path string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(c.Root, path)); err != nil {
		t.Fatal(err)
	}
}

// What is wrong with a node is found, by name, and said with what to do; all
// else stays well.
func TestFindings(t *testing.T) {
	need.Tun(t)
	need.Command(t, need.Kernel, "nft")
	for name, c := range map[string]struct {
		spoil       func(preflight.Config)
		check, want string
		level       preflight.Level
	}{
		"good": {spoil: func(preflight.Config) {}},
		"a usual container": {
			func(c preflight.Config) { put(t, c, "/proc/self/status", docker) },
			"capabilities", "without DAC_OVERRIDE.*|without NET_ADMIN, NET_BROADCAST, SYS_ADMIN, SYS_PTRACE", preflight.Missing,
		},
		"a private mount": {
			func(c preflight.Config) { put(t, c, "/proc/1/mountinfo", private) },
			"namespaces of pods", "/run/netns is on /run/netns, which is not a shared mount", preflight.Missing,
		},
		"another plugin": {
			func(c preflight.Config) { put(t, c, "/etc/cni/net.d/05-cilium.conflist", "") },
			"CNI configurations", "05-cilium.conflist would be taken before 10-polynic.conflist", preflight.Missing,
		},
		"no folder of plugins": {
			func(c preflight.Config) { remove(t, c, "/opt/cni") }, "CNI plugins", "is not there", preflight.Warning,
		},
		"a file for a folder": {
			func(c preflight.Config) {
				remove(t, c, "/opt/cni/bin")
				put(t, c, "/opt/cni/bin", "")
			}, "CNI plugins", "is no folder", preflight.Missing,
		},
		"no folder of configurations": {
			func(c preflight.Config) { remove(t, c, "/etc/cni") }, "CNI configurations", "is not there", preflight.Warning,
		},
		"no kubelet": {
			func(c preflight.Config) { remove(t, c, "/var/lib/kubelet/device-plugins") }, "kubelet", "device-plugins", preflight.Warning,
		},
		"Contiv-VPP was here": {
			func(c preflight.Config) { put(t, c, "/opt/cni/bin/contiv-cni", "") }, "Contiv-VPP", "/opt/cni/bin/contiv-cni", preflight.Warning,
		},
		"processes hidden": {
			func(c preflight.Config) { remove(t, c, "/proc/1") }, "namespaces of pods", "no such file", preflight.Missing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := node(t)
			c.spoil(config)
			findings := config.Run(t.Context())
			if usable := preflight.Usable(findings); usable != (c.level != preflight.Missing) {
				t.Errorf("usable: %v", usable)
			}
			for _, f := range findings {
				switch {
				case f.Check == c.check && (f.Level != c.level || !regexp.MustCompile(c.want).MatchString(f.Found)):
					t.Errorf("%+v\nwant %s: %s", f, c.level, c.want)
				case f.Check == c.check && f.Advice == "":
					t.Errorf("%+v: what is one to do?", f)
				case f.Check != c.check && f.Level != preflight.OK && name != "processes hidden":
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// Nothing that is tried is left on the node.
func TestNothingIsLeft(t *testing.T) {
	need.Tun(t)
	look := func() []string {
		t.Helper()
		links, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		temporary, err := filepath.Glob(filepath.Join(os.TempDir(), "polynic-preflight-*"))
		if err != nil {
			t.Fatal(err)
		}
		all := append(strings.Split(string(mounts), "\n"), temporary...)
		for _, l := range links {
			all = append(all, l.Name)
		}
		return all
	}
	before := look()
	node(t).Run(t.Context())
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// What is asked for is what the manifests give.
func TestCapabilitiesOfManifests(t *testing.T) {
	given := map[string]bool{}
	for _, manifest := range []string{"base/agent.yaml", "relay/relay.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", manifest))
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range regexp.MustCompile(`add: \[(.*)\]`).FindAllStringSubmatch(string(text), -1) {
			for name := range strings.SplitSeq(list[1], ", ") {
				given[name] = true
			}
		}
	}
	var names []string
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	config := node(t)
	put(t, config, "/proc/self/status", "CapBnd:\t0\n")
	if found, want := config.Run(t.Context())[0].Found, "without "+strings.Join(names, ", "); found != want {
		t.Errorf("with none: %s\nwant %s", found, want)
	}
}
