// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package preflight

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/install"
)

// plugins looks at the folder of CNI plugins.
func (c Config) plugins() Finding {
	f := Finding{Check: "CNI plugins", Level: OK, Found: c.CNIBinDir + " is there"}
	switch st, err := os.Stat(c.path(c.CNIBinDir)); {
	case errors.Is(err, os.ErrNotExist):
		f.Level, f.Found = Warning, c.CNIBinDir+" is not there"
		f.Advice = "it will be made; where the runtime looks elsewhere (containerd: bin_dirs), set cniBinDir"
	case err != nil:
		f.Level, f.Found = Missing, err.Error()
	case !st.IsDir():
		f.Level, f.Found, f.Advice = Missing, c.CNIBinDir+" is no folder", "move it away"
	}
	return f
}

// configurations finds those that a runtime would take before ours.
func (c Config) configurations() Finding {
	f := Finding{Check: "CNI configurations", Level: OK, Found: "none comes before " + install.Conflist}
	entries, err := os.ReadDir(c.path(c.CNIConfDir))
	if errors.Is(err, os.ErrNotExist) {
		f.Level, f.Found = Warning, c.CNIConfDir+" is not there"
		f.Advice = "it will be made; where the runtime looks elsewhere (containerd: conf_dir), set cniConfDir"
		return f
	}
	if err != nil {
		f.Level, f.Found = Missing, err.Error()
		return f
	}
	var before []string
	for _, e := range entries { // sorted, as runtimes sort them
		isRead := slices.Contains([]string{".conflist", ".conf", ".json"}, filepath.Ext(e.Name()))
		if isRead && e.Name() < install.Conflist {
			before = append(before, e.Name())
		}
	}
	if len(before) > 0 {
		f.Level, f.Found = Missing, fmt.Sprintf("%s: %s would be taken before %s", c.CNIConfDir, strings.Join(before, ", "), install.Conflist)
		f.Advice = "remove the other network plugin, or install polynic as a secondary one (polynic install --secondary)"
	}
	return f
}

// kubelet looks for where devices are offered.
func (c Config) kubelet() Finding {
	f := Finding{Check: "kubelet", Level: OK, Found: "device plugins and pod resources are served in " + c.KubeletDir}
	for _, name := range []string{"device-plugins/kubelet.sock", "pod-resources/kubelet.sock"} {
		if _, err := os.Stat(c.path(c.KubeletDir, name)); err != nil {
			f.Level, f.Found = Warning, err.Error()
			f.Advice = "memif needs it: start kubelet; where its --root-dir is another, set the chart's node.kubeletDir, or memif.kubeletDir where the agent is in no container"
		}
	}
	return f
}

// contiv finds what Contiv-VPP leaves on a node.
func (c Config) contiv() Finding {
	f := Finding{Check: "Contiv-VPP", Level: OK, Found: "nothing of it is left"}
	var left []string
	for _, path := range []string{
		filepath.Join(c.CNIConfDir, "10-contiv-vpp.conflist"), filepath.Join(c.CNIBinDir, "contiv-cni"),
		"/var/run/contiv", "/run/contiv", "/etc/vpp/contiv-vswitch.conf",
		filepath.Join(c.KubeletDir, "device-plugins", "contiv-vpp.sock"), "/sys/class/net/vpp1",
	} {
		if _, err := os.Lstat(c.path(path)); err == nil {
			left = append(left, path)
		}
	}
	if len(left) > 0 {
		f.Level, f.Found = Warning, strings.Join(left, ", ")
		f.Advice = "delete Contiv-VPP from the cluster, remove these, and reboot the node or delete its pods"
	}
	return f
}
