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

	"github.com/polynic/polynic/api/cniwire"
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

// TestMemifsThatCannotBe: pods whose memifs cannot be given are refused with the
// reason, and leave nothing; what is mended is given.
func TestMemifsThatCannotBe(t *testing.T) {
	n := harness.NewNode(t, harness.WithMemifs)
	disk := harness.MountDisk(t, n.Config.MemifDir(), 64<<10)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	baseline := n.MustLook()

	n.WritePod("without", "uid-without", "memif1/memif")
	without := n.Sandbox("without", "uid-without") // kubelet is not asked for devices
	_, err := without.Add()
	expectRefused(t, err, cniwire.CodeRefused, "default/without", "no container of it has memif devices", "contivpp.io/memif: N")
	n.ExpectClean(baseline)

	pod := n.Pod("memif1/memif")
	pod.MustAdd()
	second := n.Sandbox(pod.Name, pod.UID)
	_, err = second.Add()
	expectRefused(t, err, cniwire.CodeRefused, "default/"+pod.Name, "its memif socket in "+pod.Folder(), "serves sandbox")
	if err := pod.Check(); err != nil {
		t.Errorf("the first sandbox: %v", err)
	}
	second.MustDel()
	pod.MustDel()
	n.ExpectClean(baseline)

	if err := os.RemoveAll(pod.Folder()); err != nil {
		t.Fatal(err)
	}
	third := n.Sandbox(pod.Name, pod.UID)
	_, err = third.Add()
	expectRefused(t, err, cniwire.CodeRefused, "default/"+pod.Name, "its memif folder is missing", "delete the pod")
	third.MustDel()

	empty := disk.Fill()
	unlucky := n.Pod("memif1/memif")
	_, err = unlucky.Add()
	expectRefused(t, err, cniwire.CodeInternal, "default/"+unlucky.Name, "interfaces.json", "no space left on device")
	empty()
	n.ExpectClean(baseline)
	unlucky.MustAdd()
	unlucky.MustDel()
	n.ExpectClean(baseline)
	disk.Unmount()
	n.Remove()
}

// TestOffenceIsTold: an application that is connected, and offends, is cut off,
// and the user sees it: in the log once with its process, and counted.
func TestOffenceIsTold(t *testing.T) {
	n := harness.Start(t, harness.WithMemifs)
	pod, peer := memifPod(n, "memif1/memif")
	other, his := memifPod(n, "memif1/memif")
	if answer := other.Connect(his).Answer; answer != "connected" {
		t.Fatal(answer)
	}
	app := pod.Connect(peer)
	if err := app.Offend(); err != nil {
		t.Fatal(err)
	}
	expectTold(t, n, pod, app.PID(), "cut off: bad descriptor")
	seen := memifOf(t, n, pod).Memif
	process := fmt.Sprintf("process %d (uid 0): cut off: bad descriptor", app.PID())
	if seen.Connected || seen.Refused["bad descriptor"] != 1 || !strings.HasPrefix(seen.LastRefused, process) {
		t.Errorf("the user sees %+v, want it refused once, and at last %q", seen, process)
	}
	if seen := memifOf(t, n, other).Memif; !seen.Connected || len(seen.Refused) != 0 {
		t.Errorf("of another pod the user sees %+v", seen)
	}
	if answer := pod.Connect(peer).Answer; answer != "connected" {
		t.Errorf("the next application: %s", answer)
	}
}
