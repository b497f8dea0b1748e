// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vpp is the dataplane made of FD.io VPP, with the kernel's part of ports.
//
// The default network is a routing table of VPP's, with a loopback that has the
// gateways' addresses and lends them to the ports. What is not for a pod is looked
// up in VPP's main table, which has the link to the node's network namespace. A port
// of the stub network is up and attached to nothing.
//
// A veth's end is a link in the node's namespace, which VPP has as a host-interface.
// A tap is VPP's own, in the pod, where the kernel has vhost-net; else its file is the
// relay's, which connects to a memif of VPP's. Of a pod's own
// memifs VPP is the master, on sockets in a folder of root's; the container's folder
// gets a hard link to the socket, so that VPP never works in what a pod can write
// to.
//
// What is made carries a mark: interfaces their owner in the tag, tables a name; see
// mark.go. Nothing without one is altered, but interfaces whose name or socket
// cannot be another's.
package vpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"go.fd.io/govpp/api"
	interfaces "go.fd.io/govpp/binapi/interface"
	"golang.org/x/sync/semaphore"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/dataplane/linux/services"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppstats"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// defaultRing is the size of a tap's rings, in slots, where none is configured.
const defaultRing = 1024

// hostWord begins the name that VPP gives a host-interface; the link's follows.
const hostWord = "host-"

// mainTable is VPP's own routing table.
const mainTable = 0

// Config is what the driver needs.
type Config struct {
	Log *slog.Logger
	// Relay holds taps.
	Relay linux.Relay
	// APISocket is VPP's socket of the binary API, and StatsSocket that of its
	// stats segment.
	APISocket, StatsSocket string
	// NetnsDir, PodNetnsDir, Pins and SysctlDir are as in linux.Config.
	NetnsDir, PodNetnsDir string
	Pins                  netns.Pins
	SysctlDir             string
	// StateFile remembers what the driver found before it changed node-wide settings.
	StateFile string
	// RunDir has the memif sockets, in a folder of root's; VPP sees it under the
	// same path. A container's folder is in the same file system.
	RunDir string
	// Services says that services are resolved. Where it is not set, the driver can
	// only remove what was made for them.
	Services bool
	// NodeServices resolves services in the node's kernel: for the node itself, for
	// what comes from outside, and for pods what VPP does not. nil is the linux
	// driver's table.
	NodeServices NodeServices
	// TapRingSize is the number of slots of each ring of a tap, a power of 2.
	TapRingSize int
}

// NodeServices is the node's part of services.
type NodeServices interface {
	dataplane.Services
	// SetPods says which addresses the node's pods have.
	SetPods(pods []netip.Prefix)
}

// Driver implements dataplane.Driver and dataplane.Services.
type Driver struct {
	config Config
	log    *slog.Logger
	api    *vppapi.Client
	stats  *vppstats.Reader
	ports  *linux.Driver // the kernel's part
	node   *nodenet.Node
	ns     *netns.Handle
	kernel *nl.Socket // of the node's namespace

	services resolver

	sleeper     *sleeper
	nodeMu      sync.Mutex          // one change of the node's own objects at a time
	kernelSlots chan struct{}       // held by who has the kernel's part made
	down        *semaphore.Weighted // of host-interfaces that are not up yet

	mu    sync.Mutex // guards what follows
	known *known
}

var (
	_ dataplane.Driver   = (*Driver)(nil)
	_ dataplane.Namer    = (*Driver)(nil)
	_ dataplane.Memifs   = (*Driver)(nil)
	_ dataplane.Counters = (*Driver)(nil)
)

// New makes a driver. VPP need not be there yet; until it is, errors wrap
// dataplane.ErrAway.
func New(config Config) (*Driver, error) {
	if config.TapRingSize == 0 {
		config.TapRingSize = defaultRing
	}
	if config.NodeServices == nil {
		table, err := services.New()
		if err != nil {
			return nil, err
		}
		config.NodeServices = table
	}
	if err := os.MkdirAll(filepath.Join(config.RunDir, socketDir), 0o700); err != nil {
		return nil, fmt.Errorf("folder of memif sockets: %w", err)
	}
	node, err := nodenet.New(config.SysctlDir, config.StateFile)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: config, log: config.Log, node: node, stats: vppstats.New(config.StatsSocket), sleeper: newSleeper(), kernelSlots: make(chan struct{}, parallelKernel), down: semaphore.NewWeighted(maxDown)}
	if d.ns, err = netns.Own(); err != nil {
		return nil, err
	}
	if d.kernel, err = nl.NewSocket(d.ns); err != nil {
		return nil, errors.Join(err, d.ns.Close())
	}
	d.ports, err = linux.NewPorts(linux.Config{
		Log: config.Log, Relay: config.Relay, PodNetnsDir: config.PodNetnsDir, SysctlDir: config.SysctlDir,
		TapPeer: d.tapPeer,
	})
	if err != nil {
		return nil, errors.Join(err, d.kernel.Close(), d.ns.Close())
	}
	d.api = vppapi.NewClient(vppapi.Options{
		Socket: config.APISocket, Messages: messages(),
		Events: []api.Message{&interfaces.SwInterfaceEvent{}}, Welcome: d.welcome,
	})
	return d, nil
}

// welcome reads what a VPP has that we are connected with anew.
func (d *Driver) welcome(ctx context.Context, conn *vppapi.Conn) error {
	v, err := d.read(ctx, conn)
	if err != nil {
		return err
	}
	k := newKnown(conn)
	if k.ownTaps, err = makesTaps(ctx, conn); err != nil {
		return err
	}
	k.learn(v)
	var b vppapi.Batch
	b.Call(&interfaces.WantInterfaceEvents{EnableDisable: 1, PID: uint32(os.Getpid())}, &interfaces.WantInterfaceEventsReply{}) //nolint:gosec // it is positive
	for _, i := range v.ifs {
		if _, _, isPort := parseTag(i.tag); isPort && i.isMemif && i.linked {
			onInterrupt(&b, i.index)
		}
	}
	if err := conn.Do(ctx, &b); err != nil {
		return err
	}
	if err := lacksServices(conn); err != nil && d.config.Services {
		d.log.WarnContext(ctx, "VPP resolves no services: what pods send to one takes the way through the node, and hides their addresses", slog.Any("error", err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = k
	return nil
}

// vpp gives what is known of the VPP that we are connected with.
func (d *Driver) vpp(ctx context.Context) (*known, error) {
	conn, err := d.api.Conn(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || d.known.conn != conn {
		return nil, fmt.Errorf("%w: VPP was started again", dataplane.ErrAway)
	}
	return d.known, nil
}

// PortName implements dataplane.Namer: the name of VPP's interface. Of one that is not
// there it is the name that a veth's would have.
func (d *Driver) PortName(owner desired.Owner, port string) string {
	if k, _ := d.knownNow(); k != nil {
		if name := k.name(portTag(owner, port)); name != "" {
			return name
		}
	}
	return hostWord + d.ports.PortName(owner, port)
}

// tapPeer says where the relay finds VPP's memif of a tap; nowhere if VPP has the tap.
func (d *Driver) tapPeer(t desired.Tap) relayapi.MemifPeer {
	if k, _ := d.knownNow(); k != nil && k.ownTaps {
		return relayapi.MemifPeer{}
	}
	return relayapi.MemifPeer{
		Socket: d.tapSocket(), ID: tapID(t.Owner, t.Pod.Name), RingSize: d.config.TapRingSize, MTU: t.MTU,
	}
}

// Close implements dataplane.Driver.
func (d *Driver) Close() error {
	return errors.Join(d.api.Close(), d.ports.Close(), d.kernel.Close(), d.ns.Close())
}
