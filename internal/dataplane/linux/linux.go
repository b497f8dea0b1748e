// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package linux is the dataplane made of the Linux kernel and the relay.
//
// The default network is the namespace that the agent runs in, routed. The
// stub network is a namespace of its own with nothing in it but ports. A veth
// has its peer born in the pod; a tap is born there too, its file held by the
// relay, which moves frames to a twin tap in the network's namespace. Of a memif
// there is the twin alone; the relay has the socket that an application in the
// pod connects to. No link
// is ever moved between namespaces: the kernel takes 17 ms for a move and
// 0.5 ms for a birth.
//
// What is made carries a mark: links their owner in the alias and a group,
// routes and rules a routing protocol number, the nftables table its name.
package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux/services"
	"github.com/polynic/polynic/internal/dataplane/nodenet"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/nl"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// Config is what the driver needs.
type Config struct {
	Log *slog.Logger
	// Relay holds taps and memifs.
	Relay Relay
	// NetnsDir is where the namespaces of networks are pinned.
	NetnsDir string
	// PodNetnsDir is where the container runtime keeps the namespaces of pods;
	// only looked at for ports that nobody knows.
	PodNetnsDir string
	// Pins makes the namespaces of networks outlive the driver.
	Pins netns.Pins
	// SysctlDir holds the kernel's settings; /proc/sys where it is empty.
	SysctlDir string
	// StateFile remembers what the driver found before it changed node-wide
	// settings; it may vanish at a reboot, as they do.
	StateFile string
	// TapPeer says, for a driver of NewPorts alone, how the relay reaches the switch
	// for a tap. It may be called concurrently. It is nil where the switch has all
	// taps' files itself, and gives the zero MemifPeer of one whose file it has.
	TapPeer func(desired.Tap) relayapi.MemifPeer
}

// Relay is what the driver asks of the relay; *relayapi.Client is one.
type Relay interface {
	Attach(ctx context.Context, ports []relayapi.TapPort) []error
	AttachMemifs(ctx context.Context, ports []relayapi.MemifPort) []error
	Detach(ctx context.Context, ids []string) error
	List(ctx context.Context) ([]relayapi.PortState, error)
	ListMemifs(ctx context.Context) ([]relayapi.MemifState, error)
	Watch(ctx context.Context, take func(relayapi.Event)) error
}

// Driver implements dataplane.Driver.
type Driver struct {
	config Config
	log    *slog.Logger
	host   *nodenet.Node
	// services is nil where portsOnly is set.
	services *services.Table
	node     *space
	stub     *space
	index    *index
	ipv6     bool // the kernel has it
	// portsOnly is set by NewPorts: host and stub are nil, and node takes the
	// ports of all networks.
	portsOnly bool

	nodeMu sync.Mutex // one change of the node's own objects at a time

	reapMu sync.Mutex
	ends   map[endKey]leftEnd // to clean up at the next reap
}

var _ dataplane.Driver = (*Driver)(nil)

// New opens the namespace that the caller runs in. The stub network's is made
// when the plan asks for it.
func New(config Config) (*Driver, error) {
	host, err := nodenet.New(config.SysctlDir, config.StateFile)
	if err != nil {
		return nil, err
	}
	table, err := services.New()
	if err != nil {
		return nil, err
	}
	own, err := netns.Own()
	if err != nil {
		return nil, err
	}
	sysctl := sysctls(cmp.Or(config.SysctlDir, procSys))
	node := &space{network: model.DefaultNetwork, nsid: nl.OwnNamespace, sysctl: sysctl}
	if err := node.use(own); err != nil {
		return nil, fmt.Errorf("node's namespace: %w", err)
	}
	return &Driver{
		config:   config,
		log:      config.Log,
		host:     host,
		services: table,
		node:     node,
		stub: &space{
			network: model.StubNetwork, path: filepath.Join(config.NetnsDir, model.StubNetwork),
			pins: config.Pins, sysctl: sysctl,
		},
		index: newIndex(),
		ends:  map[endKey]leftEnd{},
		ipv6:  sysctl.has("net/ipv6"),
	}, nil
}

// PortName implements dataplane.Namer: the name of the link in the network's
// namespace, or the caller's in that of NewPorts.
func (d *Driver) PortName(owner desired.Owner, port string) string { return linkName(owner, port) }

// Close implements dataplane.Driver.
func (d *Driver) Close() error {
	var errs []error
	for _, s := range d.spaces() {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
