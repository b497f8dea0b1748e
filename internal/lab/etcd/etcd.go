// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package etcd is the lab's etcd: one member on a port of the machine's loopback,
// which pods and the agent reach at every address of the lab's node.
package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/polynic/polynic/internal/netns"
)

// segmentSize is what a file of etcd's log takes of the disk from the start, in
// bytes: its own 64 MB are for more than a lab.
const segmentSize = 4 << 20

// startLimit is how long etcd may take until it serves.
const startLimit = 20 * time.Second

// Config is what a server needs.
type Config struct {
	// Data is the folder of what etcd holds, made with mode 0700.
	Data string
	// Endpoint is the file that says where it serves; a server that is started
	// again serves there again, if it can.
	Endpoint string
	// Netns is the path of the node's namespace, and Ports where etcd is reached
	// there.
	Netns string
	Ports []int
}

// Endpoint is what the file of that name holds.
type Endpoint struct {
	// URL is where etcd serves, on loopback.
	URL string `json:"url"`
}

// Serve serves until ctx ends.
func Serve(ctx context.Context, c Config) error {
	server, err := start(c)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-time.After(startLimit):
		return fmt.Errorf("etcd: it does not serve after %s", startLimit)
	case <-ctx.Done():
		return nil
	}
	address := server.Clients[0].Addr().String()
	if err := writeEndpoint(c.Endpoint, Endpoint{URL: "http://" + address}); err != nil {
		return err
	}
	listeners, err := listen(ctx, c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case err := <-server.Err():
			stop(fmt.Errorf("etcd: %w", err))
		case <-ctx.Done():
		}
	}()
	forward(ctx, listeners, address)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// start starts etcd where it was before, or where there is room.
func start(c Config) (*embed.Etcd, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, err
	}
	wal.SegmentSizeBytes = segmentSize
	server, err := embed.StartEtcd(settings(c.Data, formerPort(c.Endpoint)))
	if errors.Is(err, syscall.EADDRINUSE) {
		server, err = embed.StartEtcd(settings(c.Data, "0"))
	}
	return server, err
}

func settings(data, port string) *embed.Config {
	loopback := func(port string) url.URL { return url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", port)} }
	c := embed.NewConfig()
	c.Name, c.Dir = "lab", data
	c.ListenClientUrls = []url.URL{loopback(port)}
	c.AdvertiseClientUrls = c.ListenClientUrls
	c.ListenPeerUrls = []url.URL{loopback("0")} // nobody joins
	c.AdvertisePeerUrls = c.ListenPeerUrls
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.EnableGRPCGateway = false
	c.UnsafeNoFsync = true // a lab does not outlive the machine
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, "10000"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	return c
}

// formerPort is the port of an earlier server; 0, which is any, where there was
// none.
func formerPort(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "0"
	}
	var former Endpoint
	if err := json.Unmarshal(data, &former); err != nil {
		return "0"
	}
	at, err := url.Parse(former.URL)
	if err != nil || at.Port() == "" {
		return "0"
	}
	return at.Port()
}

func writeEndpoint(path string, e Endpoint) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("endpoint of etcd: %w", err)
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("endpoint of etcd: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("endpoint of etcd: %w", err)
	}
	return nil
}

// listen listens on the ports in the node's namespace, at every address.
func listen(ctx context.Context, c Config) ([]net.Listener, error) {
	ns, err := netns.Open(c.Netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var listeners []net.Listener
	for _, port := range c.Ports {
		err := ns.Do(func() error {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(port))
			if err == nil {
				listeners = append(listeners, l)
			}
			return err
		})
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return nil, fmt.Errorf("etcd at the node's addresses: %w", err)
		}
	}
	return listeners, nil
}
