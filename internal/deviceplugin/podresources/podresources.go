// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package podresources asks kubelet which container has which devices, by its
// PodResources API (v1). What the API does not tell is a pod's UID, and the
// devices of init containers that end: a container that comes after them
// inherits those.
package podresources

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/unixsock"
)

// errNamesakes is met while a pod that was deleted by force is still listed: which
// devices are whose is not told.
var errNamesakes = errors.New("kubelet lists several pods of one name")

const (
	// maxAnswer is the longest answer that is taken, in bytes, as in kubelet's
	// own client.
	maxAnswer = 16 << 20
	// patience is how long an answer is waited for, also of a kubelet that is
	// just being restarted.
	patience = 10 * time.Second
	// Kubelet answers 100 questions a second. These are the pauses before one
	// that was too many is asked again.
	firstPause, longPause = 20 * time.Millisecond, 500 * time.Millisecond
)

// Container is a container and the devices that it has, in the order of its
// pod's containers.
type Container struct {
	Name    string
	Devices []string
}

// Listing is what kubelet tells of one pod, or of all.
type Listing struct {
	// Kubelet tells one process of kubelet from the next: it is the number of
	// the connection that the answer came by. It is never zero.
	Kubelet uint64
	// Containers are those with devices.
	Containers []Container
}

// Client asks kubelet. It connects when it is asked, and again whenever kubelet
// was restarted. A kubelet that is away, or is asked too often, is waited for, a
// short time. All methods may be called concurrently.
type Client struct {
	resource    string
	conn        *grpc.ClientConn
	kubelet     api.PodResourcesListerClient
	connections atomic.Uint64
}

// New makes a client of the kubelet that listens, or will, at the socket. Of
// all devices it tells those of the resource.
func New(socket, resource string) (*Client, error) {
	c := &Client{resource: resource}
	conn, err := grpc.NewClient("passthrough:///kubelet",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer), grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.2, MaxDelay: longPause},
			MinConnectTimeout: patience,
		}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c.connections.Add(1)
			return unixsock.Dial(ctx, socket)
		}))
	if err != nil {
		return nil, fmt.Errorf("kubelet's pod resources: %w", err)
	}
	c.conn, c.kubelet = conn, api.NewPodResourcesListerClient(conn)
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Pod gives the containers of a pod that have devices of the resource; none
// where kubelet knows no such pod.
func (c *Client) Pod(ctx context.Context, ref model.PodRef) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.listing(func() ([]*api.PodResources, error) {
		pod, err := c.get(ctx, ref)
		if err == nil || isFinal(err) {
			return []*api.PodResources{pod}, err
		}
		// It has no Get, does not allow it, or does not know the pod: what it
		// says then is different in each version. List always tells.
		all, err := c.list(ctx)
		named := slices.DeleteFunc(all, func(p *api.PodResources) bool {
			return p.GetNamespace() != ref.Namespace || p.GetName() != ref.Name
		})
		if err == nil && len(named) > 1 {
			err = fmt.Errorf("%w: %s", errNamesakes, ref)
		}
		return named, err
	})
}

// List gives all containers that have devices of the resource.
func (c *Client) List(ctx context.Context) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.listing(func() ([]*api.PodResources, error) { return c.list(ctx) })
}

// listing asks until it is known by which connection the answer came.
func (c *Client) listing(ask func() ([]*api.PodResources, error)) (Listing, error) {
	for {
		number := c.connections.Load()
		pods, err := ask()
		if err != nil {
			return Listing{}, fmt.Errorf("kubelet's pod resources: %w", err)
		}
		if number != c.connections.Load() {
			continue
		}
		listing := Listing{Kubelet: number}
		for _, pod := range pods {
			listing.Containers = append(listing.Containers, c.containers(pod)...)
		}
		return listing, nil
	}
}

func (c *Client) get(ctx context.Context, ref model.PodRef) (*api.PodResources, error) {
	var pod *api.PodResources
	err := patiently(ctx, func() error {
		answer, err := c.kubelet.Get(ctx, &api.GetPodResourcesRequest{PodNamespace: ref.Namespace, PodName: ref.Name})
		pod = answer.GetPodResources()
		return err
	})
	return pod, err
}

// isFinal reports whether asking otherwise would come to the same.
func isFinal(err error) bool {
	return slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted}, status.Code(err))
}

func (c *Client) list(ctx context.Context) ([]*api.PodResources, error) {
	var all []*api.PodResources
	err := patiently(ctx, func() error {
		answer, err := c.kubelet.List(ctx, &api.ListPodResourcesRequest{})
		all = answer.GetPodResources()
		return err
	})
	return all, err
}

// containers picks the resource's devices. Kubelet tells them one by one, or by
// their NUMA nodes.
func (c *Client) containers(pod *api.PodResources) []Container {
	var list []Container
	for _, from := range pod.GetContainers() {
		var devices []string
		for _, d := range from.GetDevices() {
			if d.GetResourceName() == c.resource {
				devices = append(devices, d.GetDeviceIds()...)
			}
		}
		if len(devices) > 0 {
			slices.Sort(devices)
			list = append(list, Container{Name: from.GetName(), Devices: devices})
		}
	}
	return list
}

// patiently repeats, until ctx ends, a question that came too often, or to a
// kubelet that was just ending.
func patiently(ctx context.Context, ask func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := ask()
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unavailable {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
