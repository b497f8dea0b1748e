// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

func request(t *testing.T, annotation string) podif.Request {
	t.Helper()
	r, problems := podif.Parse(annotation)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

func named(name string, devices int) model.MemifContainer {
	return model.MemifContainer{Name: name, MemifAllocation: model.MemifAllocation{Devices: make([]string, devices)}}
}

// The memif interfaces are dealt to the containers in order.
func TestDeal(t *testing.T) {
	a, b, c := named("a", 1), named("b", 2), named("c", 1)
	for _, test := range []struct {
		annotation string
		containers []model.MemifContainer
		first      uint32
		want       []string
		warning    string
	}{
		{"m1/memif", []model.MemifContainer{a}, 0, []string{"m1=0@a"}, ""},
		{"m1/memif", []model.MemifContainer{a}, 1, []string{"m1=1@a"}, ""},
		{"x/tap, m2/memif, y/veth, m1/memif/stub", []model.MemifContainer{b}, 0, []string{"m2=0@b", "m1=1@b"}, ""},
		{"1/memif,2/memif,3/memif,4/memif", []model.MemifContainer{a, b, c}, 0, []string{"1=0@a", "2=1@b", "3=2@b", "4=3@c"}, ""},
		{"1/memif,2/memif", []model.MemifContainer{a, b, c}, 0, []string{"1=0@a", "2=1@b"}, ""},
		{"1/memif,2/memif", []model.MemifContainer{a}, 0, []string{"1=0@a", "2=1@a"}, "2 memif interfaces, and only 1 of contivpp.io/memif"},
		{"1/memif,2/memif,3/memif", []model.MemifContainer{a, c}, 0, []string{"1=0@a", "2=1@c", "3=2@c"}, "the last container, c, gets the rest"},
		{"x/tap", nil, 0, nil, ""},
		{"x/tap", []model.MemifContainer{a}, 0, nil, ""},
	} {
		grants, warning, err := deviceplugin.Deal(request(t, test.annotation), test.containers, test.first)
		var got []string
		for _, g := range grants {
			got = append(got, fmt.Sprintf("%s=%d@%s", g.Interface, g.ID, g.Container.Name))
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", test.annotation, err, diff)
		}
		if !strings.Contains(warning, test.warning) || (warning == "") != (test.warning == "") {
			t.Errorf("%s: warning %q, want %q", test.annotation, warning, test.warning)
		}
	}
	_, _, err := deviceplugin.Deal(request(t, "1/memif,2/memif"), nil, 0)
	if !errors.Is(err, deviceplugin.ErrNoDevices) || !strings.Contains(err.Error(), "resources.limits") {
		t.Errorf("without devices: %v, want ErrNoDevices and what to do", err)
	}
}

// What the pod path asks for, with a kubelet that says who has what.
func TestGrants(t *testing.T) {
	n := newNode(t)
	n.firstID = 1
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, pod("p", 1, 0, 2))
	n.admit(t, pod("without", 0))
	ref := model.PodRef{Namespace: "default", Name: "p", UID: "uid-p"}
	grants, warning, err := n.plugin.Grants(t.Context(), ref, request(t, "m0/memif,t/tap,m1/memif,m2/memif"))
	if err != nil || warning != "" || len(grants) != 3 {
		t.Fatalf("grants %v, %q, %v", grants, warning, err)
	}
	for i, container := range []string{"a", "c", "c"} {
		g, env := grants[i], n.kubelet.Grants("uid-p")[container]
		if g.Interface != fmt.Sprint("m", i) || g.ID != uint32(i+1) || g.Container.Name != container ||
			g.Container.Secret.Reveal() != env.Env["MEMIF_SECRET"] || g.Container.Folder != env.Mounts[0].Source {
			t.Errorf("grant %d: %v, want what container %s has", i, g, container)
		}
	}
	for _, name := range []string{"without", "unknown"} {
		other := model.PodRef{Namespace: "default", Name: name}
		if _, _, err := n.plugin.Grants(t.Context(), other, request(t, "m0/memif")); !errors.Is(err, deviceplugin.ErrNoDevices) {
			t.Errorf("pod %s: %v, want ErrNoDevices", name, err)
		}
	}
	if _, _, err := n.plugin.Grants(t.Context(), model.PodRef{Namespace: "other", Name: "p"}, request(t, "m0/memif")); !errors.Is(err, deviceplugin.ErrNoDevices) {
		t.Errorf("a pod of that name elsewhere: %v, want ErrNoDevices", err)
	}
	n.stopKubelet()
	if _, _, err := n.plugin.Grants(t.Context(), ref, request(t, "t/tap")); err != nil {
		t.Errorf("without memif interfaces kubelet is asked: %v", err)
	}
	limited, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := n.plugin.Grants(limited, ref, request(t, "m0/memif")); err == nil || !strings.Contains(err.Error(), "kubelet's pod resources") {
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
	if healthy, _ := n.kubelet.Healthy(deviceplugin.Resource); len(healthy) != 4 || len(n.folderNames(t)) != 3 {
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
