// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/need"
)

// PauseImage is the image of the sandboxes' own containers.
const PauseImage = "registry.k8s.io/pause:3.10.2"

// RuntimeSocket is containerd's.
const RuntimeSocket = "/run/containerd/containerd.sock"

const containerdConfig = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]

[grpc]
address = "` + RuntimeSocket + `"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "` + PauseImage + `"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE nobody may lower it.
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["` + PluginDir + `"]
conf_dir = "` + PluginConfDir + `"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "%s"
SystemdCgroup = false
`

// Where containerd looks for network plugins and for their configuration. The
// reference plugins are there, as on any node, and no configuration.
const (
	PluginDir     = "/opt/cni/bin"
	PluginConfDir = "/etc/cni/net.d"
)

func (n *Node) configureContainerd() {
	t := n.t
	t.Helper()
	for _, plugin := range []string{"loopback", "portmap", "bridge", "host-local"} {
		n.copy(kubebin.Need(t, plugin), filepath.Join(PluginDir, plugin))
	}
	if err := os.MkdirAll(PluginConfDir, 0o755); err != nil {
		t.Fatal(err)
	}
	n.write("/etc/containerd/config.toml", fmt.Sprintf(containerdConfig, need.Command(t, need.Cluster, "runc")))
	n.write("/etc/containerd/certs.d/_default/hosts.toml",
		fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", n.config.Registry.URL))
	bin, err := kubebin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	n.runtime = harness.Program{
		Path: kubebin.Need(t, "containerd"), Args: []string{"--config", "/etc/containerd/config.toml", "--log-level", "info"},
		Log: n.log("containerd"), Env: []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}, // it looks for its shim there
	}
	kubebin.Need(t, "containerd-shim-runc-v2")
}
