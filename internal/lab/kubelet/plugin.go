// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/polynic/polynic/internal/unixsock"
)

// plugin is a plugin that registered.
type plugin struct {
	conn   *grpc.ClientConn
	client api.DevicePluginClient
	// healthy are the ids of its devices that are; none once it is gone.
	healthy []string
}

// Register takes a plugin, in place of an earlier one for the resource. It
// connects to it first.
func (k *Kubelet) Register(ctx context.Context, r *api.RegisterRequest) (*api.Empty, error) {
	if r.GetVersion() != api.Version {
		return nil, fmt.Errorf("version %q is not supported, only %q", r.GetVersion(), api.Version)
	}
	if !slices.Contains(k.Resources, r.GetResourceName()) {
		return nil, fmt.Errorf("resource %q is not known here", r.GetResourceName())
	}
	socket := filepath.Join(k.Dir, pluginsDir, r.GetEndpoint())
	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return unixsock.Dial(ctx, socket) }))
	if err != nil {
		return nil, err
	}
	p := &plugin{conn: conn, client: api.NewDevicePluginClient(conn)}
	if _, err := p.client.GetDevicePluginOptions(ctx, &api.Empty{}); err != nil {
		_ = conn.Close() // there was no connection
		return nil, fmt.Errorf("connect to the plugin of %s: %w", r.GetResourceName(), err)
	}
	ctx, deafen := context.WithCancel(context.WithoutCancel(ctx))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.plugins[r.GetResourceName()] = p
	k.deafen = append(k.deafen, deafen)
	k.running.Go(func() { k.listen(ctx, p, r.GetResourceName()) })
	return &api.Empty{}, nil
}

// listen follows the plugin's devices until it is gone.
func (k *Kubelet) listen(ctx context.Context, p *plugin, resource string) {
	err := k.follow(ctx, p)
	k.Log.InfoContext(ctx, "device plugin is gone", slog.String("resource", resource), slog.Any("because", err))
	k.setHealthy(p, nil)
	_ = p.conn.Close() // nobody speaks by it any more
}

func (k *Kubelet) follow(ctx context.Context, p *plugin) error {
	stream, err := p.client.ListAndWatch(ctx, &api.Empty{})
	if err != nil {
		return err
	}
	for {
		list, err := stream.Recv()
		if err != nil {
			return err
		}
		var healthy []string
		for _, d := range list.GetDevices() {
			if d.GetHealth() == api.Healthy {
				healthy = append(healthy, d.GetID())
			}
		}
		k.setHealthy(p, healthy)
	}
}

func (k *Kubelet) setHealthy(p *plugin, devices []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.healthy = devices
	close(k.changed)
	k.changed = make(chan struct{})
}

// Healthy are the devices of a resource that a container could be given, or
// has; none while no plugin for it is registered. changed is closed when that
// is no more true.
func (k *Kubelet) Healthy(resource string) (devices []string, changed <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.plugins[resource]; ok {
		devices = p.healthy
	}
	return devices, k.changed
}
