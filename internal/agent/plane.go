// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/dataplane/vpp"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// lookInterval is how often a dataplane that is another process is looked for.
const lookInterval = 250 * time.Millisecond

// plane is the dataplane that the configuration names, with what it needs.
type plane struct {
	driver dataplane.Driver
	// process is what people call the other process that the dataplane is; empty
	// for the kernel, which is always there.
	process string
	relay   *relayapi.Client
}

// services is the part of the driver that resolves services; nil where it has none.
func (p *plane) services() dataplane.Services {
	s, _ := p.driver.(dataplane.Services)
	return s
}

// stateFile is where a dataplane, by its name, notes what it found on the node; it is
// there from its first work on.
func stateFile(c config.Config, name string) string { return filepath.Join(c.RunDir, name+".json") }

func openDataplane(c config.Config, log *slog.Logger) (*plane, error) {
	p := &plane{relay: relayapi.New(c.RelaySocket(), log)}
	var err error
	switch c.Dataplane {
	case config.DataplaneLinux:
		p.driver, err = linux.New(linux.Config{
			Log: log, Relay: p.relay, NetnsDir: c.NetnsDir(), PodNetnsDir: c.PodNetnsDir,
			Pins: netns.Pins{MountNamespace: c.MountNamespace}, SysctlDir: c.SysctlDir,
			StateFile: stateFile(c, c.Dataplane),
		})
	case config.DataplaneVPP:
		p.process = "VPP"
		p.driver, err = vpp.New(vpp.Config{
			Log: log, Relay: p.relay, APISocket: c.VPP.APISocket, StatsSocket: c.VPP.StatsSocket,
			NetnsDir: c.NetnsDir(), PodNetnsDir: c.PodNetnsDir,
			Pins: netns.Pins{MountNamespace: c.MountNamespace}, SysctlDir: c.SysctlDir,
			StateFile: stateFile(c, c.Dataplane), RunDir: c.SwitchDir(), TapRingSize: c.VPP.TapRingSize,
			Services: c.ServiceMode() != config.ServicesOff,
		})
	default:
		err = errors.New("it is not known")
	}
	if err != nil {
		p.relay.Close()
		return nil, fmt.Errorf("dataplane %s: %w", c.Dataplane, err)
	}
	return p, nil
}

func (p *plane) close(log *slog.Logger) {
	if err := p.driver.Close(); err != nil {
		log.Warn("closing the dataplane", slog.Any("error", err))
	}
	p.relay.Close()
}

// observe reads everything that the dataplane has. A dataplane that is another
// process may be started after the agent: it is waited for then. Meanwhile STATUS
// tells so, ADDs are put off, and DELs are noted down.
func (p *plane) observe(ctx context.Context, o Options) (desired.Set, error) {
	found, err := p.driver.Observe(ctx, dataplane.Scope{Everything: true})
	if err == nil || p.process == "" || ctx.Err() != nil {
		return found, err
	}
	serving, end := context.WithCancel(ctx)
	defer end()
	readiness := newReadiness()
	requests, questions, err := listen(serving, o, newGate(o, nil, readiness, serving.Done()))
	if err != nil {
		return nil, err
	}
	group, serving := errgroup.WithContext(serving)
	group.Go(func() error { return requests.Run(serving) })
	group.Go(func() error { return inspect.NewServer(&early{o, readiness}, o.Log).Serve(serving, questions) })
	group.Go(func() error {
		defer end()
		found = p.await(serving, o, readiness)
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, ctx.Err()
}

// await looks for the dataplane until it answers, or ctx ends.
func (p *plane) await(ctx context.Context, o Options, readiness *readiness) desired.Set {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	said := ""
	for {
		found, err := p.driver.Observe(ctx, dataplane.Scope{Everything: true})
		if err == nil {
			return found
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			readiness.until(p.process + " answers: " + said)
			o.Log.WarnContext(ctx, "waiting for the dataplane", slog.String("process", p.process), slog.Any("error", err))
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}
