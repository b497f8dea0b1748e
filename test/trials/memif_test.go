// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/test/harness"
)

// expectDevices waits until kubelet has so many healthy memif devices.
func expectDevices(t *testing.T, n *harness.Node, want int) {
	t.Helper()
	harness.Eventually(t, harness.Patience(5*time.Second), func() error {
		if healthy, _ := n.Kubelet.Healthy(podif.MemifResource); len(healthy) != want {
			return fmt.Errorf("%d devices are healthy, want %d", len(healthy), want)
		}
		return nil
	})
}

// memifPod attaches a pod with memifs, and says how its own application connects
// to the first.
func memifPod(n *harness.Node, annotation string) (*harness.Pod, harness.MemifPeer) {
	n.TB.Helper()
	pod := n.Pod(annotation)
	pod.MustAdd()
	return pod, harness.MemifPeer{
		Socket: filepath.Join(pod.Folder(), memifdir.SocketName), Secret: pod.Grant().Env[memifdir.SecretVariable],
		ID: uint32(n.Config.Memif.FirstID),
	}
}

// TestMemifSettings: what the agent's configuration says of memifs comes about.
func TestMemifSettings(t *testing.T) {
	const limit = time.Second
	n := harness.Start(t, func(c *config.Config) {
		harness.WithMemifs(c)
		c.Memif.Devices, c.Memif.FirstID, c.AwayLimit.Duration = 3, 1, limit
	})
	expectDevices(t, n, 3)
	pod, peer := memifPod(n, "memif1/memif, memif2/memif")
	told, err := os.ReadFile(filepath.Join(pod.Folder(), memifdir.InterfacesName))
	if text := string(told); err != nil || strings.Contains(text, `"id": 0`) || !strings.Contains(text, `"id": 1`) || !strings.Contains(text, `"id": 2`) {
		t.Errorf("the ids from 1 are not in %s, %v", told, err)
	}
	if answer := pod.Connect(peer).Answer; answer != "connected" {
		t.Error(answer)
	}

	killed := time.Now()
	n.Relay.Kill()
	expectDevices(t, n, 0)
	if took := time.Since(killed); took < limit/2 {
		t.Errorf("the devices were unhealthy after %v, with an awayLimit of %v", took, limit)
	}
	n.StartRelay()
	expectDevices(t, n, 3)
}

// TestAcceptUnsealed: DPDK's memory without copies, which it could take away, gets
// in where the configuration says so, and nowhere else.
func TestAcceptUnsealed(t *testing.T) {
	for _, accept := range []bool{false, true} {
		n := harness.Start(t, func(c *config.Config) {
			harness.WithMemifs(c)
			c.Memif.AcceptUnsealed = accept
		})
		pod, peer := memifPod(n, "memif1/memif")
		peer.Unsealed = true
		if answer := pod.Connect(peer).Answer; (answer == "connected") != accept {
			t.Errorf("acceptUnsealed %t: %s", accept, answer)
		}
		pod.MustDel()
		n.Remove()
	}
}
