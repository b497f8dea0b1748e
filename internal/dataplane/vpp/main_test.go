// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/dataplane/vpp"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/kernelnode"
	vppprocess "github.com/polynic/polynic/test/vpp"
)

func TestMain(m *testing.M) {
	if code := isolate.Main(m); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// lab is a node with a VPP.
type lab struct {
	*kernelnode.Node
	t          testing.TB
	api, stats string
	// nodeServices is what the node has of services; nil where they are off.
	nodeServices vpp.NodeServices
}

func newLab(t testing.TB, api, stats string) *lab {
	t.Helper()
	l := &lab{Node: kernelnode.New(t), t: t, api: api, stats: stats}
	t.Cleanup(l.removeNode)
	return l
}

func (l *lab) open() (*vpp.Driver, error) {
	return vpp.New(vpp.Config{
		Log: slog.New(slog.DiscardHandler), Relay: l.Relay, APISocket: l.api, StatsSocket: l.stats,
		PodNetnsDir: l.Dir, StateFile: filepath.Join(l.Dir, "vpp.json"), RunDir: l.Dir, TapRingSize: 256,
		Services: l.nodeServices != nil, NodeServices: l.nodeServices,
	})
}

// removeNode takes away what the driver made, as an uninstall does.
func (l *lab) removeNode() {
	d, err := l.open()
	if err != nil {
		l.t.Error(err)
		return
	}
	if err := errors.Join(d.RemoveAll(context.Background(), nil), d.Close()); err != nil {
		l.t.Error(err)
	}
}

// inMemory is a node's part of services that makes nothing.
type inMemory struct{ *fake.Driver }

func (inMemory) SetPods([]netip.Prefix) {}

func noServices() inMemory { return inMemory{fake.New()} }

func adapt(n *plan.Node) {
	n.Default.Table = plan.PodTable
	shares := []netip.Prefix{netip.MustParsePrefix("172.30.1.0/24"), netip.MustParsePrefix("fd30:1::/64")}
	n.Host = plan.NewHostLink(shares, n.Default.Pods, 1450)
}

func (l *lab) harness() drivertest.Harness {
	h := l.Harness(func() (dataplane.Driver, error) { return l.open() })
	h.Adapt = adapt
	return h
}

func TestContractOverServer(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		t.Helper()
		return newLab(t, vpptest.Start(t, vpptest.Config{}).Socket, "").harness()
	})
}

// TestContractOverServerWithTaps is of a VPP that makes taps itself.
func TestContractOverServerWithTaps(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		t.Helper()
		return newLab(t, vpptest.Start(t, vpptest.Config{VhostNet: true}).Socket, "").harness()
	})
}

func TestContractOverVPP(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		t.Helper()
		const buffers = 32768 // taps of VPP's own take 768 of each pod's
		p := vppprocess.Start(t, vppprocess.Config{Buffers: buffers})
		return newLab(t, p.API, p.Stats).harness()
	})
}
