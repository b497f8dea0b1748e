// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vpp is the dataplane made of FD.io VPP, with the kernel's part of ports.
package vpp

import (
	"context"
	"errors"
	"log/slog"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
)

// Config is what the driver needs.
type Config struct {
	Log *slog.Logger
	// Relay holds taps where VPP cannot.
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
	// RunDir is where sockets between the relay and VPP are; root's alone.
	RunDir string
	// TapRingSize is the number of slots of each ring of a tap, a power of 2.
	TapRingSize int
}

// Driver implements dataplane.Driver.
type Driver struct {
	config Config
}

var (
	_ dataplane.Driver = (*Driver)(nil)
	_ dataplane.Namer  = (*Driver)(nil)
	_ dataplane.Memifs = (*Driver)(nil)
)

// New makes a driver. VPP need not be there yet.
func New(config Config) (*Driver, error) { return &Driver{config: config}, nil }

var errNotYet = errors.New("not there yet")

// Observe implements dataplane.Driver.
func (d *Driver) Observe(context.Context, dataplane.Scope) (desired.Set, error) {
	return nil, errNotYet
}

// Apply implements dataplane.Driver.
func (d *Driver) Apply(_ context.Context, work []dataplane.Work, done func(desired.Owner, error)) {
	for _, w := range work {
		done(w.Owner, errNotYet)
	}
}

// Reap implements dataplane.Driver.
func (d *Driver) Reap(context.Context) (map[desired.Owner]error, error) { return nil, errNotYet }

// Watch implements dataplane.Driver.
func (d *Driver) Watch(context.Context, func(dataplane.Hit)) error { return errNotYet }

// RemoveAll takes away everything that carries our mark.
func (d *Driver) RemoveAll(context.Context, desired.Set) error { return errNotYet }

// PortName implements dataplane.Namer.
func (d *Driver) PortName(desired.Owner, string) string { return "" }

// Memifs implements dataplane.Memifs.
func (d *Driver) Memifs(context.Context) (map[desired.Key]model.MemifStatus, error) {
	return nil, errNotYet
}

// Close implements dataplane.Driver.
func (d *Driver) Close() error { return nil }
