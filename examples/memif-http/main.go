// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Memif-http is an HTTP server for a container with memif interfaces: no packet of
// it passes the pod's kernel. It reads interfaces.json, connects to every interface
// that has an address, and has a TCP stack of its own (gVisor's) on each. It answers
// pings as well. docs/services.md has a pod that runs it behind a Service.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/memif"
)

// patience is how long the head of a request may take, and the end of the server.
const patience = 10 * time.Second

// described is what interfaces.json says, as far as it is needed here.
type described struct {
	Interfaces []attachment
}

// attachment is one interface.
type attachment struct {
	Name           string
	ID             uint32
	MAC            string
	MTU            int
	Addresses      []netip.Prefix
	Gateways       []netip.Addr
	Socket         string
	SecretVariable string
}

func main() {
	path := flag.String("interfaces", "/run/vpp/interfaces.json", "the `file` that lists the container's memif interfaces")
	port := flag.Uint("port", 80, "the TCP `port` to serve at")
	flag.Parse()
	if *port == 0 || *port > math.MaxUint16 {
		fmt.Fprintf(os.Stderr, "memif-http: -port %d: want 1 to %d\n", *port, math.MaxUint16)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *path, uint16(*port))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "memif-http:", err)
		os.Exit(1)
	}
}

// run serves at all interfaces of the file until ctx ends.
func run(ctx context.Context, path string, port uint16) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var file described
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	served := 0
	for _, i := range file.Interfaces {
		if len(i.Addresses) == 0 {
			continue // attached to no network with addresses
		}
		served++
		group.Go(func() error {
			if err := serve(ctx, i, port); err != nil && ctx.Err() == nil {
				return fmt.Errorf("interface %s: %w", i.Name, err)
			}
			return nil
		})
	}
	if served == 0 {
		return fmt.Errorf("%s: no interface has an address", path)
	}
	return group.Wait()
}

// serve answers at one interface until ctx ends, over disconnections too.
func serve(ctx context.Context, i attachment, port uint16) error {
	attached, err := memif.Dial(i.Socket, memif.Config{
		ID: i.ID, Secret: memif.Secret(os.Getenv(i.SecretVariable)), Application: "memif-http", Name: i.Name,
	})
	if err != nil {
		return err
	}
	host, err := newHost(i)
	if err != nil {
		return errors.Join(err, attached.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return host.receive(ctx, attached) })
	group.Go(func() error { return host.transmit(ctx, attached) })
	for _, a := range i.Addresses {
		listener, err := host.listen(netip.AddrPortFrom(a.Addr(), port))
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error { return serveHTTP(ctx, i.Name, listener) })
	}
	err = group.Wait()
	host.close()
	return errors.Join(err, attached.Close())
}

// serveHTTP answers at a listener until ctx ends, and closes it.
func serveHTTP(ctx context.Context, name string, listener net.Listener) error {
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hostname, err := os.Hostname()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, fmt.Sprintf("%s answers %s at %s, %s\n", hostname, r.RemoteAddr, name, listener.Addr()))
		}),
	}
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		stopped <- server.Shutdown(ending)
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
