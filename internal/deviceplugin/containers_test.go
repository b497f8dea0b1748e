// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// What the pod path asks for, with a kubelet that says who has what.
func TestContainers(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, pod("p", 1, 0, 2))
	n.admit(t, pod("without", 0))
	ref := model.PodRef{Namespace: "default", Name: "p", UID: "uid-p"}
	containers, err := n.plugin.Containers(t.Context(), ref)
	if err != nil || len(containers) != 2 {
		t.Fatalf("containers %v, %v", containers, err)
	}
	for i, name := range []string{"a", "c"} {
		c, env := containers[i], n.kubelet.Grants("uid-p")[name]
		if c.Name != name || c.Secret.Reveal() != env.Env["MEMIF_SECRET"] || c.Folder != env.Mounts[0].Source {
			t.Errorf("container %d: %v, want what container %s has", i, c, name)
		}
	}
	for _, other := range []model.PodRef{
		{Namespace: "default", Name: "without"},
		{Namespace: "default", Name: "unknown"},
		{Namespace: "other", Name: "p"},
	} {
		if containers, err := n.plugin.Containers(t.Context(), other); err != nil || len(containers) > 0 {
			t.Errorf("pod %s: %v, %v, want none", other, containers, err)
		}
	}
	n.stopKubelet()
	limited, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = n.plugin.Containers(limited, ref)
	if _, refused := errors.AsType[model.Refusal](err); err == nil || refused || !strings.Contains(err.Error(), "kubelet's pod resources") {
		t.Errorf("without kubelet: %v", err)
	}
}

// A container inherits the devices of the init containers before it.
func TestInheritedDevices(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	p := pod("p", 0, 3)
	p.Spec.InitContainers = append(p.Spec.InitContainers, container("first", 1), container("second", 2))
	n.admit(t, p)
	containers, err := n.plugin.Containers(t.Context(), model.PodRef{Namespace: "default", Name: "p"})
	if err != nil || len(containers) != 1 || containers[0].Name != "b" || len(containers[0].Devices) != 3 {
		t.Fatalf("containers %v, %v, want b with 3 devices", containers, err)
	}
	if first := n.kubelet.Grants(p.UID)["first"]; first.Mounts[0].Source == containers[0].Folder {
		t.Error("an init container has the folder of another")
	}
	if healthy, _ := n.kubelet.Healthy(podif.MemifResource); len(healthy) != 4 || len(n.folderNames(t)) != 3 {
		t.Errorf("folders %v, want one for each container", n.folderNames(t))
	}
}

// An allocation that is not known, or has no folder any more, is an error, and
// never a pod without memif.
func TestLostAllocations(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, pod("p", 1))
	ref := model.PodRef{Namespace: "default", Name: "p"}
	folder := n.folders().Path(n.folderNames(t)[0])
	if err := os.Rename(folder, folder+"-gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.plugin.Containers(t.Context(), ref); !errors.Is(err, memifdir.ErrMissing) ||
		!strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "container a") {
		t.Errorf("without the folder: %v", err)
	}
	n.stopPlugin(t)
	if err := os.RemoveAll(filepath.Join(n.root, "state")); err != nil {
		t.Fatal(err)
	}
	n.startPlugin(t, "a boot")
	n.waitHealthy(t, 4)
	if _, err := n.plugin.Containers(t.Context(), ref); !errors.Is(err, allocation.ErrUnknown) || !strings.Contains(err.Error(), "delete the pod") {
		t.Errorf("without the journal: %v", err)
	}
}

// Folders go with their pods, and stay with those that an attachment uses.
func TestFoldersGo(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, pod("stays", 1))
	n.admit(t, pod("goes", 1))
	n.admit(t, pod("used", 1))
	var ids []string
	for _, name := range []string{"stays", "goes", "used"} {
		containers, err := n.plugin.Containers(t.Context(), model.PodRef{Namespace: "default", Name: name})
		if err != nil || len(containers) != 1 {
			t.Fatalf("pod %s: %v, %v", name, containers, err)
		}
		ids = append(ids, containers[0].ID)
	}
	n.mu.Lock()
	n.used = map[string]bool{ids[2]: true}
	n.mu.Unlock()
	for _, name := range []string{"goes", "used"} {
		if err := n.kubelet.Forget(pod(name).UID); err != nil {
			t.Fatal(err)
		}
	}
	n.plugin.Changed()
	eventually(t, "the end of a folder", func() bool { return !slices.Contains(n.folderNames(t), ids[1]) })
	if got := n.folderNames(t); len(got) != 2 || !slices.Contains(got, ids[0]) || !slices.Contains(got, ids[2]) {
		t.Errorf("folders %v, want %s and %s", got, ids[0], ids[2])
	}
	n.mu.Lock()
	n.used = nil
	n.mu.Unlock()
	n.plugin.Changed()
	eventually(t, "the end of the other", func() bool { return slices.Equal(n.folderNames(t), ids[:1]) })
}
