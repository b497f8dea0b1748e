// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// service answers kubelet.
type service struct {
	api.UnimplementedDevicePluginServer
	config  Config
	given   func() // called after every Allocate
	devices map[string]bool
	streams *streams

	mu      sync.Mutex
	healthy bool
	change  chan struct{} // closed, and replaced, when healthy changes
}

func newService(config Config, given func()) *service {
	s := &service{
		config: config, given: given, devices: map[string]bool{}, streams: newStreams(),
		healthy: true, change: make(chan struct{}),
	}
	for n := range config.Devices {
		s.devices[deviceID(n)] = true
	}
	return s
}

// setHealthy reports whether that is a change.
func (s *service) setHealthy(healthy bool) bool { //nolint:revive // it is a value that is set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.healthy == healthy {
		return false
	}
	s.healthy = healthy
	close(s.change)
	s.change = make(chan struct{})
	return true
}

// list is what kubelet is told, and what is closed once that is no more true.
func (s *service) list() (*api.ListAndWatchResponse, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	health := api.Healthy
	if !s.healthy {
		health = api.Unhealthy
	}
	devices := make([]*api.Device, s.config.Devices)
	for n := range devices {
		devices[n] = &api.Device{ID: deviceID(n), Health: health}
	}
	return &api.ListAndWatchResponse{Devices: devices}, s.change
}

// GetDevicePluginOptions tells that nothing but Allocate is to be called.
func (s *service) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch tells the devices, at once and whenever their health changes.
func (s *service) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	s.streams.begin()
	defer s.streams.end()
	for {
		list, change := s.list()
		if err := stream.Send(list); err != nil {
			return err
		}
		select {
		case <-change:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// Allocate gives each container a folder and a secret. All of them get theirs,
// or none.
func (s *service) Allocate(ctx context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	defer s.given()
	answer := &api.AllocateResponse{}
	var given []string
	for _, c := range r.GetContainerRequests() {
		a, err := s.allocate(c.GetDevicesIds())
		if err != nil {
			for _, id := range given {
				if err := s.config.Allocations.Free(context.WithoutCancel(ctx), id); err != nil {
					s.config.Log.WarnContext(ctx, "taking an allocation back", slog.Any("error", err))
				}
			}
			s.config.Log.WarnContext(ctx, "allocate refused", slog.Any("error", err))
			return nil, status.Error(codes.FailedPrecondition, err.Error())
		}
		given = append(given, a.ID)
		answer.ContainerResponses = append(answer.ContainerResponses, s.container(a))
		s.config.Log.InfoContext(ctx, "allocate",
			slog.String("devices", strings.Join(a.Devices, ",")), slog.String("folder", a.ID))
	}
	return answer, nil
}

func (s *service) allocate(devices []string) (model.MemifAllocation, error) {
	for _, id := range devices {
		if !s.devices[id] {
			return model.MemifAllocation{}, fmt.Errorf("device %q is not one of the %d that are offered", id, s.config.Devices)
		}
	}
	return s.config.Allocations.Allocate(devices)
}

// container is what a container with the allocation sees.
func (s *service) container(a model.MemifAllocation) *api.ContainerAllocateResponse {
	return &api.ContainerAllocateResponse{
		Envs: map[string]string{
			memifdir.SocketVariable: memifdir.SocketPath,
			memifdir.SecretVariable: a.Secret.Reveal(),
		},
		Mounts: []*api.Mount{{ContainerPath: memifdir.MountPath, HostPath: s.config.Folders.Path(a.ID)}},
	}
}

// streams counts the kubelets that listen.
type streams struct {
	mu     sync.Mutex
	number int
	ended  chan struct{} // holds one when a stream has ended
}

func newStreams() *streams { return &streams{ended: make(chan struct{}, 1)} }

func (s *streams) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
}

func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number--
	select {
	case s.ended <- struct{}{}:
	default:
	}
}

func (s *streams) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number == 0
}
