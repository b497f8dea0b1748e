// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubelet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/kubelet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const gpu = "example.com/gpu"

// plugin is a device plugin as others write them.
type plugin struct {
	api.UnimplementedDevicePluginServer
	asked atomic.Int32
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	err := stream.Send(&api.ListAndWatchResponse{Devices: []*api.Device{
		{ID: "g0", Health: api.Healthy}, {ID: "g1", Health: api.Healthy}, {ID: "bad", Health: api.Unhealthy}, {ID: "g2", Health: api.Healthy},
	}})
	<-stream.Context().Done()
	return errors.Join(err, stream.Context().Err())
}

func (p *plugin) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	p.asked.Add(1)
	ids := strings.Join(r.GetContainerRequests()[0].GetDevicesIds(), ",")
	if len(r.GetContainerRequests()[0].GetDevicesIds()) == 3 {
		return nil, errors.New("three are too many for this plugin")
	}
	return &api.AllocateResponse{ContainerResponses: []*api.ContainerAllocateResponse{{
		Envs:   map[string]string{"GPUS": ids},
		Mounts: []*api.Mount{{HostPath: "/of/" + ids, ContainerPath: "/gpu", ReadOnly: true}},
	}}}, nil
}

// serve serves the plugin in kubelet's folder and registers it.
func (p *plugin) serve(t *testing.T, dir string) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(dir, "device-plugins", "gpu.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterDevicePluginServer(server, p)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	if err := register(t, dir, &api.RegisterRequest{Version: api.Version, Endpoint: "gpu.sock", ResourceName: gpu}); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func register(t *testing.T, dir string, r *api.RegisterRequest) error {
	t.Helper()
	_, err := api.NewRegistrationClient(dial(t, filepath.Join(dir, "device-plugins", "kubelet.sock"))).Register(t.Context(), r)
	return err
}

func start(t *testing.T, dir string) *kubelet.Kubelet {
	t.Helper()
	k, err := kubelet.Start(t.Context(), kubelet.Config{Log: slog.New(slog.DiscardHandler), Dir: dir, Resources: []string{gpu}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func asks(name string, gpus int) corev1.Container {
	return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{gpu: resource.MustParse(fmt.Sprint(gpus)), "cpu": resource.MustParse("100m")},
	}}
}

func podOf(uid string, containers ...corev1.Container) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.UID = "default", uid, types.UID(uid)
	p.Spec.Containers = containers
	return p
}

// A pod's devices are its own until it is forgotten, whatever is restarted, and
// a plugin is asked once.
func TestDevicesOfPods(t *testing.T) {
	dir, p := t.TempDir(), &plugin{}
	k := start(t, dir)
	p.serve(t, dir)
	first := podOf("first", asks("a", 1), asks("none", 0), asks("b", 1))
	if err := k.Admit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	want := map[string]container.Grant{
		"a": {Env: map[string]string{"GPUS": "g0"}, Mounts: []container.Mount{{Source: "/of/g0", Target: "/gpu", ReadOnly: true}}},
		"b": {Env: map[string]string{"GPUS": "g1"}, Mounts: []container.Mount{{Source: "/of/g1", Target: "/gpu", ReadOnly: true}}},
	}
	if diff := cmp.Diff(want, k.Grants(first.UID)); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	err := k.Admit(t.Context(), podOf("second", asks("a", 2)))
	if err == nil || !strings.Contains(err.Error(), "container a: 2 of example.com/gpu are asked for, and 1 are left") {
		t.Errorf("error %v, want one that says how many are left", err)
	}
	k.Stop()
	k = start(t, dir)
	defer func() { k.Stop() }()
	if entries, err := os.ReadDir(filepath.Join(dir, "device-plugins")); err != nil ||
		slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "gpu.sock" }) {
		t.Errorf("after a restart there is %v, %v, want no socket of a plugin", entries, err)
	}
	if err := k.Admit(t.Context(), first); err != nil || p.asked.Load() != 2 {
		t.Errorf("admitted again: %v; the plugin was asked %d times, want once a container", err, p.asked.Load())
	}
	if diff := cmp.Diff(want, k.Grants(first.UID)); diff != "" {
		t.Errorf("grants after a restart (-want +got):\n%s", diff)
	}
	(&plugin{}).serve(t, dir)
	if err := k.Retain([]types.UID{"other"}); err != nil {
		t.Fatal(err)
	}
	if err := k.Admit(t.Context(), podOf("second", asks("a", 2))); err != nil {
		t.Errorf("devices of a pod that is gone are not free: %v", err)
	}
}

// What the PodResources API tells is told as kubelet tells it.
func TestPodResources(t *testing.T) {
	dir := t.TempDir()
	k := start(t, dir)
	defer k.Stop()
	(&plugin{}).serve(t, dir)
	always := corev1.ContainerRestartPolicyAlways
	p := podOf("p", asks("main", 2))
	sidecar := asks("sidecar", 1)
	sidecar.RestartPolicy = &always
	p.Spec.InitContainers = []corev1.Container{asks("init", 2), sidecar}
	if err := k.Admit(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	client := podresources.NewPodResourcesListerClient(dial(t, filepath.Join(dir, "pod-resources", "kubelet.sock")))
	got, err := client.Get(t.Context(), &podresources.GetPodResourcesRequest{PodNamespace: "default", PodName: "p"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got.GetPodResources().GetContainers() {
		for _, d := range c.GetDevices() {
			lines = append(lines, c.GetName()+" "+strings.Join(d.GetDeviceIds(), ","))
		}
	}
	// The sidecar took one of the init container's and keeps it.
	if diff := cmp.Diff([]string{"sidecar g0", "main g1", "main g2"}, lines); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if _, err := client.Get(t.Context(), &podresources.GetPodResourcesRequest{PodNamespace: "other", PodName: "p"}); err == nil {
		t.Error("a pod of another namespace is found")
	}
	list, err := client.List(t.Context(), &podresources.ListPodResourcesRequest{})
	if err != nil || len(list.GetPodResources()) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	if err := k.Forget(p.UID); err != nil {
		t.Fatal(err)
	}
	list, err = client.List(t.Context(), &podresources.ListPodResourcesRequest{})
	if err != nil || len(list.GetPodResources()) != 0 {
		t.Errorf("list %v, %v, want none", list, err)
	}
}

// A plugin that cannot be, and one that refuses, are errors for whoever asks.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	k := start(t, dir)
	defer k.Stop()
	for want, r := range map[string]*api.RegisterRequest{
		"version":               {Version: "v2", Endpoint: "gpu.sock", ResourceName: gpu},
		"is not known here":     {Version: api.Version, Endpoint: "gpu.sock", ResourceName: "example.com/other"},
		"connect to the plugin": {Version: api.Version, Endpoint: "none.sock", ResourceName: gpu},
	} {
		if err := register(t, dir, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", r, err, want)
		}
	}
	(&plugin{}).serve(t, dir)
	if err := k.Admit(t.Context(), podOf("p", asks("a", 3))); err == nil || !strings.Contains(err.Error(), "too many for this plugin") {
		t.Errorf("error %v, want the plugin's", err)
	}
	if err := k.Admit(t.Context(), podOf("p", asks("a", 1))); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := start(t, t.TempDir())
	defer other.Stop()
	if err := other.Admit(ctx, podOf("p", asks("a", 1))); err == nil || !strings.Contains(err.Error(), "no healthy example.com/gpu") {
		t.Errorf("without a plugin: %v", err)
	}
}
