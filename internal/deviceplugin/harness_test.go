// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/deviceplugin"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/journal"
	"github.com/polynic/polynic/internal/lab/kubelet"
	"github.com/polynic/polynic/internal/memifdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is the plugin and the kubelet of one node; each may be started again.
type node struct {
	root    string
	devices int
	hold    time.Duration
	options []grpc.ServerOption
	log     *slog.Logger

	plugin  *deviceplugin.Plugin
	journal *journal.Journal
	endRun  func()
	kubelet *kubelet.Kubelet

	mu     sync.Mutex
	since  time.Time
	reason error
	used   map[string]bool
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{root: t.TempDir(), devices: 4, hold: time.Minute, log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() {
		n.stopPlugin(t)
		n.stopKubelet()
	})
	return n
}

func (n *node) folders() memifdir.Dir { return memifdir.Dir(filepath.Join(n.root, "run", "memif")) }
func (n *node) kubeletDir() string    { return filepath.Join(n.root, "kubelet") }
func (n *node) pluginSocket() string {
	return filepath.Join(n.kubeletDir(), "device-plugins", "polynic-memif.sock")
}

func (n *node) away() (time.Time, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.since, n.reason
}

func (n *node) setAway(reason error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.since, n.reason = time.Now(), reason
}

func (n *node) usedIDs() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.used
}

// startPlugin starts an agent's part, as after the boot with the id.
func (n *node) startPlugin(t *testing.T, boot string) {
	t.Helper()
	var err error
	n.journal, _, err = journal.Open(filepath.Join(n.root, "state", "journal"), journal.Options{Node: "node1", BootID: boot, Log: n.log})
	if err != nil {
		t.Fatal(err)
	}
	store := allocation.New(n.folders(), n.journal)
	if err := store.Restore(n.journal.Allocations(), nil); err != nil {
		t.Fatal(err)
	}
	n.plugin, err = deviceplugin.New(deviceplugin.Config{
		Log: n.log, KubeletDir: n.kubeletDir(), Devices: n.devices,
		Allocations: store, Folders: n.folders(), Away: n.away, Hold: n.hold, Used: n.usedIDs,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.plugin.Run(ctx) }()
	n.endRun = func() {
		cancel()
		if err := errors.Join(<-done, n.plugin.Close(), n.journal.Close()); err != nil {
			t.Error(err)
		}
	}
}

func (n *node) stopPlugin(t *testing.T) {
	t.Helper()
	if n.endRun != nil {
		n.endRun()
		n.endRun = nil
	}
}

func (n *node) startKubelet(t *testing.T) {
	t.Helper()
	var err error
	n.kubelet, err = kubelet.Start(t.Context(), kubelet.Config{
		Log: n.log, Dir: n.kubeletDir(), Resources: []string{podif.MemifResource}, Options: n.options,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) stopKubelet() {
	if n.kubelet != nil {
		n.kubelet.Stop()
		n.kubelet = nil
	}
}

// waitHealthy waits until kubelet has so many healthy devices.
func (n *node) waitHealthy(t *testing.T, number int) []string {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		healthy, changed := n.kubelet.Healthy(podif.MemifResource)
		if len(healthy) == number {
			return healthy
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("kubelet has %d healthy devices, want %d", len(healthy), number)
		}
	}
}

// eventually waits for what has no event.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s did not come to pass", what)
		}
	}
}

// pod has containers with so many devices each, named a, b, c.
func pod(name string, devices ...int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}
	for i, number := range devices {
		p.Spec.Containers = append(p.Spec.Containers, container(string(rune('a'+i)), number))
	}
	return p
}

func container(name string, devices int) corev1.Container {
	c := corev1.Container{Name: name}
	if devices > 0 {
		c.Resources.Limits = corev1.ResourceList{podif.MemifResource: resource.MustParse(fmt.Sprint(devices))}
	}
	return c
}

func (n *node) admit(t *testing.T, p *corev1.Pod) {
	t.Helper()
	if err := n.kubelet.Admit(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func (n *node) folderNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(string(n.folders()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
