// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Memif-echo is an application for a container with memif interfaces: it reads
// interfaces.json, connects to every interface that is in it, and answers ARP,
// neighbour discovery and pings on them, IPv4 and IPv6. It shows how little it
// takes; docs/memif.md has a pod that runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/polynic/polynic/memif"
	"github.com/polynic/polynic/memif/echo"
)

// lookEvery is how often it is looked whether an interface is connected.
const lookEvery = 200 * time.Millisecond

// described is what interfaces.json says, as far as it is needed here.
type described struct {
	Interfaces []struct {
		Name           string
		ID             uint32
		MAC            string
		MTU            int
		Addresses      []netip.Prefix
		Socket         string
		SecretVariable string
	}
}

func main() {
	path := "/run/vpp/interfaces.json"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, path)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "memif-echo:", err)
		os.Exit(1)
	}
}

// run serves all interfaces of the file until ctx ends.
func run(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var file described
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var serving sync.WaitGroup
	for _, i := range file.Interfaces {
		mac, err := net.ParseMAC(i.MAC)
		if err != nil {
			return fmt.Errorf("%s: interface %s: %w", path, i.Name, err)
		}
		h := echo.Host{MAC: [6]byte(mac)}
		for _, a := range i.Addresses {
			h.Addresses = append(h.Addresses, a.Addr())
		}
		port, err := memif.Dial(i.Socket, memif.Config{
			ID: i.ID, Secret: memif.Secret(os.Getenv(i.SecretVariable)), Application: "memif-echo", Name: i.Name,
		})
		if err != nil {
			return fmt.Errorf("interface %s: %w", i.Name, err)
		}
		serving.Go(func() { complain(ctx, os.Stderr, i.Name, port) })
		serving.Go(func() {
			if err := serve(ctx, port, h); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("interface %s: %w", i.Name, err))
			}
		})
	}
	serving.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// complain says why the interface is not connected, each reason once.
func complain(ctx context.Context, w io.Writer, name string, port *memif.Interface) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := map[string]bool{}
	for {
		if s := port.Status(); !s.Connected && s.LastEnd != nil && !said[s.LastEnd.Error()] {
			said[s.LastEnd.Error()] = true
			fmt.Fprintf(w, "memif-echo: interface %s is not connected: %v\n", name, s.LastEnd)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// serve answers what comes, over disconnections too: Read and Write wait until
// the switch is there again.
func serve(ctx context.Context, port *memif.Interface, h echo.Host) error {
	defer port.Close()
	frame := make([]byte, memif.MaxPacket)
	for {
		n, err := port.Read(ctx, frame)
		if err != nil {
			return err
		}
		if answer := h.Answer(frame[:n]); answer != nil {
			if _, err := port.Write(ctx, answer); err != nil {
				return err
			}
		}
	}
}
