// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package kubelet plays the part of kubelet that device plugins know: it takes
// their registrations, allocates their devices to the containers of pods, and
// tells by the PodResources API which container has which.
//
// It does as kubelet 1.36 does: at its start it removes every socket from the
// folder of plugins, and forgets them; it connects to a plugin before the
// registration is answered; it allocates once, before anything of a pod runs,
// for one container after the other, where a container inherits the devices of
// the init containers before it; and it remembers what the plugin answered, and
// gives that to containers that are started again, without asking.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/unixsock"
)

// Config is what a kubelet needs.
type Config struct {
	Log *slog.Logger
	// Dir is kubelet's folder.
	Dir string
	// Resources are those that containers get of plugins, which may still have
	// to register; all others in their limits mean nothing.
	Resources []string
	// Options are those of its gRPC servers.
	Options []grpc.ServerOption
}

// Kubelet is one run of kubelet. All methods may be called concurrently.
type Kubelet struct {
	deviceplugin.UnimplementedRegistrationServer
	podresources.UnimplementedPodResourcesListerServer
	Config

	servers []*grpc.Server
	running sync.WaitGroup

	admission sync.Mutex // one pod at a time

	mu      sync.Mutex
	plugins map[string]*plugin   // by resource
	deafen  []context.CancelFunc // one for each plugin that is, or was, listened to
	pods    []admitted
	changed chan struct{} // closed, and replaced, when a plugin's devices change
}

// The entries of the folder (k8s.io/kubelet/pkg/apis).
const (
	pluginsDir     = "device-plugins"
	resourcesDir   = "pod-resources"
	socketName     = "kubelet.sock"
	checkpointName = "kubelet_internal_checkpoint"
)

// Start starts a kubelet that knows what the one before it wrote down.
func Start(ctx context.Context, config Config) (*Kubelet, error) {
	k := &Kubelet{Config: config, plugins: map[string]*plugin{}, changed: make(chan struct{})}
	if err := k.start(ctx); err != nil {
		k.Stop()
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	return k, nil
}

func (k *Kubelet) start(ctx context.Context) error {
	for _, folder := range []string{pluginsDir, resourcesDir} {
		if err := os.MkdirAll(filepath.Join(k.Dir, folder), 0o750); err != nil {
			return err
		}
	}
	err := state.Read(k.checkpoint(), &k.pods)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := k.wipe(); err != nil {
		return err
	}
	options := append([]grpc.ServerOption{grpc.WaitForHandlers(true)}, k.Options...)
	resources := grpc.NewServer(options...)
	podresources.RegisterPodResourcesListerServer(resources, k)
	registration := grpc.NewServer(options...)
	deviceplugin.RegisterRegistrationServer(registration, k)
	return errors.Join(k.serve(ctx, resources, resourcesDir), k.serve(ctx, registration, pluginsDir))
}

// wipe removes every file beside the checkpoint from the folder of plugins.
func (k *Kubelet) wipe() error {
	folder := filepath.Join(k.Dir, pluginsDir)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == checkpointName {
			continue
		}
		if err := os.Remove(filepath.Join(folder, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (k *Kubelet) serve(ctx context.Context, server *grpc.Server, folder string) error {
	listener, err := unixsock.Listen(ctx, filepath.Join(k.Dir, folder, socketName), 0o600)
	if err != nil {
		return err
	}
	k.servers = append(k.servers, server)
	k.running.Go(func() { _ = server.Serve(listener) }) // it ends with Stop
	return nil
}

// Stop ends the kubelet; containers and plugins go on without it.
func (k *Kubelet) Stop() {
	for _, server := range k.servers {
		server.Stop() // and nobody registers any more
	}
	for _, deafen := range k.deafen {
		deafen()
	}
	k.running.Wait()
}

func (k *Kubelet) checkpoint() string { return filepath.Join(k.Dir, pluginsDir, checkpointName) }
