// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"github.com/polynic/polynic/memif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is for what takes milliseconds.
const limit = 20 * time.Second

// A client at the other end of the memif gets an answer in both families, and after
// the switch was away, too.
func TestServes(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("MEMIF_SECRET", "fh99pwvrkvd7n2kjvmtv")
	path := describe(t, folder, []string{"10.1.1.5/32", "fd00::5/128"})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, path, 8080) }()
	for range 2 {
		asGateway(t, folder, func(client *http.Client) {
			for _, url := range []string{"http://10.1.1.5:8080/", "http://[fd00::5]:8080/"} {
				if said := get(t, client, url); !strings.Contains(said, " at memif1, ") {
					t.Errorf("%s answers %q", url, said)
				}
			}
		})
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Error("it does not end")
	}
}

// A container whose memifs have no address has nothing to serve at.
func TestNothingToServeAt(t *testing.T) {
	err := run(t.Context(), describe(t, t.TempDir(), nil), 80)
	if err == nil || !strings.Contains(err.Error(), "no interface has an address") {
		t.Error(err)
	}
}

func describe(t *testing.T, folder string, addresses []string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"interfaces": []any{map[string]any{
		"name": "memif1", "id": 0, "mac": "02:fe:00:00:00:05", "mtu": 1450, "addresses": addresses,
		"gateways": []string{"10.1.1.1", "fd00::1"}, "socket": filepath.Join(folder, "memif.sock"), "secretVariable": "MEMIF_SECRET",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "interfaces.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// asGateway is the switch with the gateway's addresses, for as long as do takes.
func asGateway(t *testing.T, folder string, do func(*http.Client)) {
	t.Helper()
	listener, err := memif.Listen(memif.ListenConfig{Address: filepath.Join(folder, "memif.sock")})
	if err != nil {
		t.Fatal(err)
	}
	port, err := listener.Add(memif.Config{ID: 0, Secret: "fh99pwvrkvd7n2kjvmtv"})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := newHost(attachment{
		MAC: "02:fe:00:00:00:01", MTU: 1450, Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.1.1/24"), netip.MustParsePrefix("fd00::1/64")},
		Gateways: []netip.Addr{netip.MustParseAddr("10.1.1.5"), netip.MustParseAddr("fd00::5")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return gateway.receive(ctx, port) })
	group.Go(func() error { return gateway.transmit(ctx, port) })
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		return gonet.DialContextTCP(ctx, gateway.stack, tcpip.FullAddress{
			NIC: nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port(),
		}, protocolOf(to.Addr()))
	}}
	do(&http.Client{Transport: transport, Timeout: limit})
	stop()
	_ = group.Wait() // ended by stop
	gateway.close()
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}
