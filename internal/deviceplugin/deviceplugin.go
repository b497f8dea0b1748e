// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package deviceplugin offers memif devices to kubelet, as the resource
// contivpp.io/memif, and says afterwards which pod has which. It speaks
// kubelet's device plugin API v1beta1.
//
// A device is a number: what a container is given is a folder and a secret
// (package allocation), whether it asks for one device or many.
package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/deviceplugin/allocation"
	"github.com/polynic/polynic/internal/deviceplugin/podresources"
	"github.com/polynic/polynic/internal/memifdir"
)

// socketName is the plugin's, beside kubelet's, in the folder of device plugins.
const socketName = "polynic-memif.sock"

// RemoveSocket removes the socket that a plugin left which was killed; one that is
// not there is no error.
func RemoveSocket(kubeletDir string) error {
	err := os.Remove(filepath.Join(kubeletDir, "device-plugins", socketName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("device plugin: %w", err)
	}
	return nil
}

// Config is what the plugin needs.
type Config struct {
	Log *slog.Logger
	// KubeletDir is kubelet's folder: device-plugins and pod-resources are in it.
	KubeletDir string
	// Devices is how many are offered.
	Devices int
	// Allocations are restored already.
	Allocations *allocation.Store
	Folders     memifdir.Dir
	// Away tells since when and why no memif can be served; the reason is nil
	// while all is well.
	Away func() (since time.Time, reason error)
	// Hold is how long that is kept from kubelet, which fails pods that are
	// started while a device is unhealthy.
	Hold time.Duration
	// Used lists the ids of the allocations that attachments use.
	Used func() map[string]bool
}

// Plugin is the device plugin. All methods may be called concurrently.
type Plugin struct {
	config  Config
	kubelet *podresources.Client
	service *service
	changed chan struct{}
}

// New makes a plugin. Nothing is offered before Run.
func New(config Config) (*Plugin, error) {
	kubelet, err := podresources.New(filepath.Join(config.KubeletDir, "pod-resources", "kubelet.sock"), podif.MemifResource)
	if err != nil {
		return nil, err
	}
	p := &Plugin{config: config, kubelet: kubelet, changed: make(chan struct{}, 1)}
	p.service = newService(config, p.Changed)
	return p, nil
}

// deviceID is the name of a device, by its number.
func deviceID(n int) string { return fmt.Sprintf("%s/%d", podif.MemifResource, n) }

// Run offers the devices until ctx ends. There may be no kubelet at first, or
// for a time.
func (p *Plugin) Run(ctx context.Context) error {
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterDevicePluginServer(server, p.service)
	r := &registrar{
		log: p.config.Log, dir: filepath.Join(p.config.KubeletDir, "device-plugins"),
		server: server, streams: p.service.streams,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.run(ctx) })
	group.Go(func() error { return p.watchHealth(ctx) })
	group.Go(func() error { return p.sweepLoop(ctx) })
	return group.Wait()
}

// Close ends the connection to kubelet.
func (p *Plugin) Close() error { return p.kubelet.Close() }

// Changed says that an allocation may be needed no more.
func (p *Plugin) Changed() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
