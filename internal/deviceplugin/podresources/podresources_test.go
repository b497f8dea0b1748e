// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podresources_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/polynic/polynic/internal/deviceplugin/podresources"
	"github.com/polynic/polynic/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const memif = "contivpp.io/memif"

// server answers as some version of kubelet does.
type server struct {
	api.UnimplementedPodResourcesListerServer
	get   func() error // its error; nil: it has the answer
	busy  atomic.Int32 // so many questions are too many
	asked atomic.Int32
}

func (s *server) tooMany() error {
	s.asked.Add(1)
	if s.busy.Add(-1) >= 0 {
		return status.Error(codes.ResourceExhausted, "rejected by rate limit")
	}
	return nil
}

func (s *server) Get(_ context.Context, r *api.GetPodResourcesRequest) (*api.GetPodResourcesResponse, error) {
	if err := s.tooMany(); err != nil {
		return nil, err
	}
	if err := s.get(); err != nil {
		return nil, err
	}
	for _, p := range pods() {
		if p.GetNamespace() == r.GetPodNamespace() && p.GetName() == r.GetPodName() {
			return &api.GetPodResourcesResponse{PodResources: p}, nil
		}
	}
	return nil, fmt.Errorf("pod %s in namespace %s not found", r.GetPodName(), r.GetPodNamespace())
}

func (s *server) List(context.Context, *api.ListPodResourcesRequest) (*api.ListPodResourcesResponse, error) {
	if err := s.tooMany(); err != nil {
		return nil, err
	}
	return &api.ListPodResourcesResponse{PodResources: pods()}, nil
}

// pods have devices of two resources, told one by one and together.
func pods() []*api.PodResources {
	of := func(resource string, ids ...string) *api.ContainerDevices {
		return &api.ContainerDevices{ResourceName: resource, DeviceIds: ids}
	}
	return []*api.PodResources{
		{Namespace: "other", Name: "p", Containers: []*api.ContainerResources{
			{Name: "z", Devices: []*api.ContainerDevices{of(memif, "m9")}},
		}},
		{Namespace: "default", Name: "p", Containers: []*api.ContainerResources{
			{Name: "b", Devices: []*api.ContainerDevices{of(memif, "m2"), of("example.com/gpu", "g1"), of(memif, "m1")}},
			{Name: "none"},
			{Name: "gpu", Devices: []*api.ContainerDevices{of("example.com/gpu", "g2")}},
			{Name: "a", Devices: []*api.ContainerDevices{of(memif, "m3", "m4")}},
		}},
		{Namespace: "default", Name: "without"},
	}
}

// serve starts the server, and gives what stops it.
func (s *server) serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	web := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterPodResourcesListerServer(web, s)
	done := make(chan error, 1)
	go func() { done <- web.Serve(listener) }()
	return func() {
		web.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}
}

func newClient(t *testing.T, socket string) *podresources.Client {
	t.Helper()
	client, err := podresources.New(socket, memif)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

var ref = model.PodRef{Namespace: "default", Name: "p", UID: "u"}

var containersOfP = []podresources.Container{{Name: "b", Devices: []string{"m1", "m2"}}, {Name: "a", Devices: []string{"m3", "m4"}}}

// Every version of kubelet gives the same answer, with as few questions as it
// can.
func TestVersionsOfKubelet(t *testing.T) {
	for name, c := range map[string]struct {
		get   func() error
		busy  int32
		asked int32
	}{
		"with Get":           {func() error { return nil }, 0, 1},
		"without Get":        {func() error { return status.Error(codes.Unimplemented, "unknown method Get") }, 0, 2},
		"with Get forbidden": {func() error { return errors.New("PodResources API Get method disabled") }, 0, 2},
		"pod not found":      {func() error { return status.Error(codes.NotFound, "not found") }, 0, 2},
		"busy":               {func() error { return nil }, 3, 4},
		"busy and forbidden": {func() error { return errors.New("PodResources API Get method disabled") }, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{get: c.get}
			s.busy.Store(c.busy)
			socket := filepath.Join(t.TempDir(), "kubelet.sock")
			defer s.serve(t, socket)()
			client := newClient(t, socket)
			if _, err := client.List(t.Context()); err != nil { // connects
				t.Fatal(err)
			}
			s.busy.Store(c.busy)
			s.asked.Store(0)
			got, err := client.Pod(t.Context(), ref)
			if diff := cmp.Diff(containersOfP, got.Containers); diff != "" || err != nil {
				t.Errorf("%v: containers (-want +got):\n%s", err, diff)
			}
			if asked := s.asked.Load(); asked != c.asked {
				t.Errorf("kubelet was asked %d times, want %d", asked, c.asked)
			}
			for _, other := range []string{"without", "unknown"} {
				got, err := client.Pod(t.Context(), model.PodRef{Namespace: "default", Name: other})
				if err != nil || len(got.Containers) != 0 {
					t.Errorf("pod %s: %v, %v", other, got, err)
				}
			}
			all, err := client.List(t.Context())
			want := append([]podresources.Container{{Name: "z", Devices: []string{"m9"}}}, containersOfP...)
			if diff := cmp.Diff(want, all.Containers); diff != "" || err != nil || all.Kubelet == 0 {
				t.Errorf("%v, kubelet %d: all containers (-want +got):\n%s", err, all.Kubelet, diff)
			}
		})
	}
}

// Answers of one run of kubelet can be told from those of the next, and a
// kubelet that is just being restarted is waited for.
func TestKubeletIsRestarted(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kubelet.sock")
	client := newClient(t, socket)
	kubelets := map[uint64]bool{}
	for range 3 {
		answer := make(chan error, 1)
		var first podresources.Listing
		go func() {
			var err error
			first, err = client.Pod(t.Context(), ref)
			answer <- err
		}()
		s := &server{get: func() error { return nil }}
		stop := s.serve(t, socket)
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		second, err := client.List(t.Context())
		if err != nil || second.Kubelet != first.Kubelet || first.Kubelet == 0 || kubelets[first.Kubelet] {
			t.Errorf("kubelets %d and %d after %v, %v", first.Kubelet, second.Kubelet, kubelets, err)
		}
		kubelets[first.Kubelet] = true
		stop()
	}
}

func TestNoKubelet(t *testing.T) {
	client := newClient(t, filepath.Join(t.TempDir(), "kubelet.sock"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Pod(ctx, ref)
	if err == nil || !strings.Contains(err.Error(), "kubelet's pod resources") || status.Code(errors.Unwrap(err)) != codes.DeadlineExceeded {
		t.Errorf("error %v, want one that names what is away", err)
	}
}

// A kubelet that is busy for ever ends with the context.
func TestBusyForEver(t *testing.T) {
	s := &server{get: func() error { return nil }}
	s.busy.Store(1 << 30)
	socket := filepath.Join(t.TempDir(), "kubelet.sock")
	defer s.serve(t, socket)()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, socket).Pod(ctx, ref); err == nil {
		t.Error("there is an answer")
	}
}
