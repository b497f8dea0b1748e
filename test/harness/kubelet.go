// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/kubelet"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/netns"
)

// WithMemifs has a node offer memif devices, for more pods than a trial makes.
func WithMemifs(c *config.Config) { c.Memif.Enabled, c.Memif.Devices = true, 1000 }

// startKubelet starts the lab's kubelet, as far as device plugins know it.
func (n *Node) startKubelet() {
	n.TB.Helper()
	err := os.MkdirAll(n.Config.MemifDir(), 0o700) // as the first allocation does
	if err == nil {
		n.Kubelet, err = kubelet.Start(context.Background(), kubelet.Config{
			Log: slog.New(slog.DiscardHandler), Dir: n.Config.Memif.KubeletDir, Resources: []string{podif.MemifResource},
			Options: []grpc.ServerOption{grpc.UnaryInterceptor(n.countLists)},
		})
	}
	if err != nil {
		n.TB.Fatal(err)
	}
	n.TB.Cleanup(n.Kubelet.Stop)
}

// admit has kubelet give the pod's one container a device for each memif. A pod
// that was admitted before keeps what it has.
func (p *Pod) admit(ctx context.Context) error {
	if p.memifs == 0 || p.node.Kubelet == nil {
		return nil
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: p.Name, UID: types.UID(p.UID)}}
	pod.Spec.Containers = []corev1.Container{{
		Name: "main",
		Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{podif.MemifResource: resource.MustParse(fmt.Sprint(p.memifs))},
		},
	}}
	return p.node.Kubelet.Admit(ctx, pod)
}

// Grant is what the pod's container gets of its devices.
func (p *Pod) Grant() container.Grant { return p.node.Kubelet.Grants(types.UID(p.UID))["main"] }

// Folder is the pod's folder of sockets, on the node.
func (p *Pod) Folder() string { return p.Grant().Mounts[0].Source }

// Forget has kubelet forget the pod, whose devices are free then.
func (p *Pod) Forget() {
	p.node.TB.Helper()
	if err := p.node.Kubelet.Forget(types.UID(p.UID)); err != nil {
		p.node.TB.Error(err)
	}
}

// Echo runs an application that answers pings at the pod's memifs, until stop.
func (p *Pod) Echo() (stop func()) {
	p.node.TB.Helper()
	h, err := netns.Open(p.Netns)
	if err != nil {
		p.node.TB.Fatal(err)
	}
	defer h.Close()
	const asInContainer = `mount -t tmpfs none /run; mkdir "$TARGET"; mount --bind "$SOURCE" "$TARGET"; exec "$0"`
	cmd := exec.Command("unshare", "--mount", "sh", "-ec", asInContainer, Bin("memif-echo"))
	cmd.Env = append(os.Environ(), "SOURCE="+p.Folder(), "TARGET="+memifdir.MountPath)
	for name, value := range p.Grant().Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = p.node.TB.Output()
	if err := h.Do(cmd.Start); err != nil {
		p.node.TB.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// ExpectEcho fails unless the pod's memifs with addresses answer the node, in
// both families.
func (p *Pod) ExpectEcho(result *types100.Result) {
	p.node.TB.Helper()
	defer p.Echo()()
	for _, i := range result.Interfaces {
		for n := range 2 {
			ip := IP(result, i.Name, n)
			if i.SocketPath == "" || ip == "" {
				continue
			}
			Eventually(p.node.TB, Patience(5*time.Second), func() error {
				_, err := output("ping", "-n", "-c", "1", "-W", "1", ip)
				return err
			})
		}
	}
}

// countLists counts how often the agent asked which pods have devices.
func (n *Node) countLists(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if info.FullMethod == podresources.PodResourcesLister_List_FullMethodName {
		n.lists.Add(1)
	}
	return answer, err
}

// ForgetPods has kubelet forget all pods, once the agent has heard of them: it
// lets go of nothing that it did not see in use.
func (n *Node) ForgetPods() {
	n.TB.Helper()
	heard := n.lists.Load() + 2 // by then what the first told is noted
	Eventually(n.TB, Patience(10*time.Second), func() error {
		if n.lists.Load() < heard {
			return errors.New("the agent did not ask kubelet for its pods")
		}
		return nil
	})
	if err := n.Kubelet.Retain(nil); err != nil {
		n.TB.Error(err)
	}
}

// isContainers tells what a container keeps as long as kubelet knows it: its
// folder, what is written there for it, and whose that is. A socket is none of
// these.
func (n *Node) isContainers(path string) bool {
	if strings.HasPrefix(path, memifdir.Dir(n.Config.MemifDir()).Given()) {
		return true
	}
	inside, isInside := strings.CutPrefix(path, n.Config.MemifDir()+"/")
	_, name, isFile := strings.Cut(inside, "/")
	return isInside && (!isFile || name == memifdir.InterfacesName)
}

// Folders lists those of containers.
func (n *Node) Folders() []string {
	n.TB.Helper()
	folders, err := filepath.Glob(filepath.Join(n.Config.MemifDir(), "*"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.TB.Fatal(err)
	}
	return folders
}
