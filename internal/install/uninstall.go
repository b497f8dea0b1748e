// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/unixsock"
)

// ErrUsed is wrapped where pods have interfaces still.
var ErrUsed = errors.New("pods have interfaces of polynic still")

// Removal is what an uninstall takes away.
type Removal struct {
	Node
	// Programs is the folder of polynic-agent and polynic-relay.
	Programs string
	// AgentConfig is the agent's configuration file.
	AgentConfig string
	// Pods says what becomes of pods that run.
	Pods Pods
}

// Pods is what becomes of pods that have interfaces.
type Pods int

const (
	// KeepPods has their interfaces kept: nothing is removed as long as there
	// are any.
	KeepPods Pods = iota
	// CutPods takes their interfaces away.
	CutPods
)

// Uninstall takes everything of polynic away from the node, while no agent runs
// there: first the conflist, so that no pod comes any more; then what the agent
// made, and its state; last the plugin, by which DELs are told until then. What
// is not there is no error, so that it may be repeated.
func Uninstall(ctx context.Context, w io.Writer, r Removal) error {
	// An agent that runs, or a configuration that cannot be read, has this fail
	// before anything is gone.
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) > 0 && r.Pods == KeepPods {
		return fmt.Errorf("%w: %s (delete them first, or cut them off with --force)", ErrUsed, strings.Join(pods, ", "))
	}
	if err := remove(w, r.ConflistFile()); err != nil {
		return err
	}
	if err := r.removeMade(ctx, w); err != nil {
		return err
	}
	errs := []error{
		removeAll(w, r.RunDir), removeAll(w, r.StateDir),
		remove(w, filepath.Join(r.CNIBinDir, CNIPlugin)), remove(w, filepath.Join(r.CNIBinDir, PortmapPlugin)),
	}
	return errors.Join(append(errs, r.removeUnfinished(w))...)
}

func (r Removal) agent(ctx context.Context, command string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.Programs, "polynic-agent"), command, "--config", r.AgentConfig)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, fmt.Errorf("polynic-agent %s: %w: %s", command, err, strings.TrimSpace(string(failed.Stderr)))
	}
	return out, err
}

// pods lists those that have interfaces.
func (r Removal) pods(ctx context.Context) ([]string, error) {
	out, err := r.agent(ctx, "pods")
	return strings.Fields(string(out)), err
}

// removeMade has the agent's program take away what agents made. Where no relay
// runs, one is started meanwhile: only a relay can let go of taps.
func (r Removal) removeMade(ctx context.Context, w io.Writer) error {
	stop, err := r.relay(ctx)
	if err != nil {
		return err
	}
	said, err := r.agent(ctx, "remove")
	fmt.Fprintf(w, "%s", said)
	if err == nil {
		fmt.Fprintln(w, "links, routes, rules and settings removed")
	}
	return errors.Join(err, stop())
}

// relay starts a relay, unless one answers, and gives what ends it.
func (r Removal) relay(ctx context.Context) (stop func() error, err error) {
	socket := filepath.Join(r.RunDir, "relay.sock")
	if conn, err := unixsock.Dial(ctx, socket); err == nil {
		return func() error { return nil }, conn.Close()
	}
	if err := os.MkdirAll(r.RunDir, 0o755); err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(r.Programs, "polynic-relay"),
		"--socket", socket, "--state", filepath.Join(r.RunDir, "relay"), "--log-level", "error")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return func() error { return errors.Join(cmd.Process.Signal(unix.SIGTERM), cmd.Wait()) }, nil
}

func remove(w io.Writer, path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	fmt.Fprintf(w, "%s removed\n", path)
	return nil
}

// removeAll removes a folder. One that is a mount point, as in a container, is
// emptied.
func removeAll(w io.Writer, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := os.RemoveAll(path)
	if errors.Is(err, unix.EBUSY) {
		entries, listErr := os.ReadDir(path)
		if listErr != nil || len(entries) > 0 {
			return fmt.Errorf("uninstall: %w", errors.Join(err, listErr))
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	fmt.Fprintf(w, "%s removed\n", path)
	return nil
}
