// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type view struct {
	interfaces []inspect.Interface
	plan       desired.Set
	status     inspect.Status
}

func (v view) Interfaces(context.Context) []inspect.Interface { return v.interfaces }
func (v view) Plan() desired.Set                              { return v.plan }
func (v view) Status() inspect.Status                         { return v.status }

// serve shows the view at a socket until the test ends.
func serve(t *testing.T, v inspect.View) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "inspect.sock")
	listener, err := unixsock.Listen(t.Context(), socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- inspect.NewServer(v, slog.New(slog.DiscardHandler)).Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return socket
}

func TestClientSeesWhatTheViewShows(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tap := inspect.Interface{
		Namespace: "default", Pod: "b", Name: "tap1", Type: podif.Tap, Network: "default",
		IPs: []netip.Prefix{netip.MustParsePrefix("10.1.1.3/32"), netip.MustParsePrefix("fd00::3/128")},
		MAC: model.PodMAC("c", "tap1"), MTU: 1450, State: inspect.StateUp, Node: "node1", Port: "tap1-c",
	}
	stub := inspect.Interface{Namespace: "default", Pod: "a", Name: "veth1", Type: podif.Veth, Network: "stub", State: inspect.StateDown, Reason: "veth1 in pod default/a: no space left"}
	v := view{
		interfaces: []inspect.Interface{tap, stub},
		plan:       desired.NewSet(desired.Network{Name: "stub"}),
		status:     inspect.Status{Node: "node1", Ready: true, Since: since, Counts: inspect.Counts{Interfaces: 2}},
	}
	client := inspect.NewClient(serve(t, v))

	interfaces, err := client.Interfaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []inspect.Interface{stub, tap}
	if diff := cmp.Diff(want, interfaces, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	plan, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := v.plan.String(); plan != want {
		t.Errorf("plan %q, want %q", plan, want)
	}
	status, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.status, status, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// The JSON is a promise: every field is there, lists are never null.
func TestInterfaceJSON(t *testing.T) {
	socket := serve(t, view{interfaces: []inspect.Interface{{Namespace: "n", Pod: "p", Name: "eth0", Type: podif.Veth}}})
	var rows []map[string]any
	if err := json.Unmarshal(fetch(t, socket, http.MethodGet, "/v1/interfaces").body, &rows); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{{
		"namespace": "n", "pod": "p", "interface": "eth0", "type": "veth", "network": "", "ips": []any{},
		"mac": "00:00:00:00:00:00", "mtu": 0.0, "state": "", "reason": "", "node": "", "port": "", "memif": nil, "published": nil,
	}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestNoInterfacesIsAnEmptyArray(t *testing.T) {
	if got := string(fetch(t, serve(t, view{}), http.MethodGet, "/v1/interfaces").body); got != "[]\n" {
		t.Errorf("answer %q, want []", got)
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	socket := serve(t, view{})
	for _, path := range []string{"/v1/interfaces", "/v1/plan", "/v1/status"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			if got := fetch(t, socket, method, path).status; got != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d, want %d", method, path, got, http.StatusMethodNotAllowed)
			}
		}
	}
}

func TestSocketIsForRootAlone(t *testing.T) {
	st, err := os.Stat(serve(t, view{}))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode().Perm())
	}
}

func TestNobodyThere(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	_, err := inspect.NewClient(none).Status(t.Context())
	if want := "the agent does not answer at " + none + ": no such file or directory"; !errors.Is(err, inspect.ErrAway) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Connections that say nothing take slots; the server goes on once they go.
func TestIdleConnectionsDoNotAddUp(t *testing.T) {
	socket := serve(t, view{})
	var idle []net.Conn
	for range 40 {
		conn, err := unixsock.Dial(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	client := inspect.NewClient(socket)
	if _, err := client.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with every slot taken: %v, want a wait", err)
	}
	for _, conn := range idle {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := client.Status(t.Context()); err != nil {
				t.Errorf("with the slots free again: %v", err)
			}
		})
	}
	wg.Wait()
}

type answer struct {
	status int
	body   []byte
}

func fetch(t *testing.T, socket, method, path string) answer {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return unixsock.Dial(ctx, socket)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, body: body}
}
