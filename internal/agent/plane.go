// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/relay/relayapi"
)

// plane is the dataplane that the configuration names, with what it needs.
type plane struct {
	driver dataplane.Driver
	// autoType is the type of eth0 that suits the dataplane.
	autoType podif.Type
	relay    *relayapi.Client
}

func openDataplane(c config.Config, log *slog.Logger) (*plane, error) {
	switch c.Dataplane {
	case "linux":
		relay := relayapi.New(c.RelaySocket(), log)
		driver, err := linux.New(linux.Config{
			Log: log, Relay: relay, NetnsDir: c.NetnsDir(), PodNetnsDir: c.PodNetnsDir,
			Pins: netns.Pins{MountNamespace: c.MountNamespace}, SysctlDir: c.SysctlDir,
			StateFile: filepath.Join(c.RunDir, "linux.json"),
		})
		if err != nil {
			relay.Close()
			return nil, fmt.Errorf("linux dataplane: %w", err)
		}
		return &plane{driver: driver, autoType: podif.Veth, relay: relay}, nil
	default:
		return nil, fmt.Errorf("dataplane %q is not known", c.Dataplane)
	}
}

func (p *plane) close(log *slog.Logger) {
	if err := p.driver.Close(); err != nil {
		log.Warn("closing the dataplane", slog.Any("error", err))
	}
	p.relay.Close()
}
