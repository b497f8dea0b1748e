// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/busy"
)

// registerLimit is how long after kubelet's socket is there again the devices
// may be away.
const registerLimit = 2 * time.Second

// refuseFirst has a kubelet refuse so many registrations.
func refuseFirst(number int32) (grpc.ServerOption, *atomic.Int32) {
	var left atomic.Int32
	left.Store(number)
	return grpc.ChainUnaryInterceptor(func(ctx context.Context, r any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if strings.HasSuffix(info.FullMethod, "/Register") && left.Add(-1) >= 0 {
			return nil, errors.New("not yet")
		}
		return handler(ctx, r)
	}), &left
}

// dieBadly leaves what a kubelet leaves that was killed: a socket that nobody
// answers.
func (n *node) dieBadly(t *testing.T) {
	t.Helper()
	n.stopKubelet()
	listener, err := net.Listen("unix", filepath.Join(n.kubeletDir(), "device-plugins", "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
}

// T14: a kubelet that is restarted wipes all sockets and refuses the first
// registrations. The devices are back within two seconds, the same ones, and
// who has which is not forgotten.
func TestKubeletRestarts(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	first := n.waitHealthy(t, 4)
	n.admit(t, pod("p", 2))
	ref := model.PodRef{Namespace: "default", Name: "p"}
	before, err := n.plugin.Containers(t.Context(), ref)
	if err != nil || len(before) != 1 {
		t.Fatalf("containers %v, %v", before, err)
	}
	var worst time.Duration
	for round := range rounds {
		if round%2 == 0 {
			n.stopKubelet()
		} else {
			n.dieBadly(t)
		}
		option, _ := refuseFirst(3)
		n.options = []grpc.ServerOption{option}
		n.startKubelet(t)
		began := time.Now()
		devices := n.waitHealthy(t, 4)
		took := time.Since(began)
		worst = max(worst, took)
		if took > busy.Stretch(registerLimit) {
			t.Errorf("round %d: the devices were back after %s", round, took)
		}
		if diff := cmp.Diff(first, devices); diff != "" {
			t.Errorf("round %d: devices (-before +after):\n%s", round, diff)
		}
		after, err := n.plugin.Containers(t.Context(), ref)
		if diff := cmp.Diff(before, after); diff != "" || err != nil {
			t.Errorf("round %d: %v: containers (-before +after):\n%s", round, err, diff)
		}
	}
	t.Logf("registered again after %d restarts: at most %s (limit %s)", rounds, worst, registerLimit)
}

// An agent that is restarted finds kubelet as it is, and what it gave.
func TestAgentRestarts(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, pod("p", 1, 2))
	ref := model.PodRef{Namespace: "default", Name: "p"}
	before, err := n.plugin.Containers(t.Context(), ref)
	if err != nil || len(before) != 2 {
		t.Fatalf("containers %v, %v", before, err)
	}
	for range 100 {
		n.stopPlugin(t)
		n.waitHealthy(t, 0)
		n.startPlugin(t, "a boot")
		n.waitHealthy(t, 4)
		after, err := n.plugin.Containers(t.Context(), ref)
		if diff := cmp.Diff(before, after); diff != "" || err != nil {
			t.Errorf("%v: containers (-before +after):\n%s", err, diff)
		}
	}
}

// After a reboot the folders are there, with the same secrets, before kubelet
// can start any container: it asks nobody again.
func TestReboot(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	p := pod("p", 1)
	n.admit(t, p)
	grant := n.kubelet.Grants(p.UID)["a"]
	n.stopPlugin(t)
	n.stopKubelet()
	if err := os.RemoveAll(filepath.Join(n.root, "run")); err != nil {
		t.Fatal(err)
	}
	n.startPlugin(t, "another boot")
	if _, err := os.Stat(grant.Mounts[0].Source); err != nil {
		t.Errorf("the folder is not there: %v", err)
	}
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	n.admit(t, p)
	if diff := cmp.Diff(grant, n.kubelet.Grants(p.UID)["a"]); diff != "" {
		t.Errorf("what the container gets (-before +after):\n%s", diff)
	}
	found, err := n.plugin.Containers(t.Context(), model.PodRef{Namespace: "default", Name: "p"})
	if err != nil || len(found) != 1 || found[0].Secret.Reveal() != grant.Env["MEMIF_SECRET"] ||
		found[0].Folder != grant.Mounts[0].Source {
		t.Errorf("found %v, %v, want what the container has", found, err)
	}
}

// A plugin's socket that somebody removed is there again, and kubelet may go
// on using the old connection meanwhile.
func TestSocketRemoved(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	n.startKubelet(t)
	n.waitHealthy(t, 4)
	if err := os.Remove(n.pluginSocket()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new socket", func() bool {
		_, err := os.Stat(n.pluginSocket())
		return err == nil
	})
	n.admit(t, pod("p", 1))
}

// A folder of plugins that goes and comes back, with everything in it.
func TestFolderRemoved(t *testing.T) {
	n := newNode(t)
	n.startPlugin(t, "a boot")
	for range 3 {
		n.startKubelet(t)
		n.waitHealthy(t, 4)
		n.stopKubelet()
		// The plugin may put its socket back while it goes.
		eventually(t, "the end of the folder", func() bool { return os.RemoveAll(n.kubeletDir()) == nil })
	}
}
