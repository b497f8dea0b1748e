// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/drivertest"
	"github.com/polynic/polynic/internal/dataplane/linux"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/relay/relayapi"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/kernelnode"
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

// lab is a node made of the test's own namespace.
type lab struct {
	*kernelnode.Node
	t     *testing.T
	dir   string
	relay *relayapi.Client
	// podNetns is where the driver looks for the namespaces of pods.
	podNetns string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	n := kernelnode.New(t)
	l := &lab{Node: n, t: t, dir: n.Dir, relay: n.Relay, podNetns: n.Dir}
	t.Cleanup(l.removeNode)
	return l
}

func (l *lab) open() (*linux.Driver, error) {
	return linux.New(linux.Config{
		Log: slog.New(slog.DiscardHandler), Relay: l.relay,
		NetnsDir: filepath.Join(l.dir, "netns"), PodNetnsDir: l.podNetns, StateFile: filepath.Join(l.dir, "linux.json"),
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

func (l *lab) pod() model.Netns                          { return l.Pod() }
func (l *lab) kill(ns model.Netns)                       { l.Kill(ns) }
func (l *lab) jam(ns model.Netns) (free func())          { return l.Jam(ns) }
func (l *lab) occupy(ns model.Netns, name string)        { l.Occupy(ns, name) }
func (l *lab) occupied(ns model.Netns, name string) bool { return l.Occupied(ns, name) }

func TestContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		t.Helper()
		l := newLab(t)
		return l.Harness(func() (dataplane.Driver, error) { return l.open() })
	})
}
