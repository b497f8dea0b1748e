// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/internal/model"
)

// member is a node of a cluster whose API server is the fake.
type member struct {
	*testing.T
	Options
	api     *fake.Server
	cluster *cluster
}

func newMember(t *testing.T) *member {
	t.Helper()
	m := &member{T: t, api: fake.New(t), Options: Options{Config: inCluster(0), Log: slog.New(slog.DiscardHandler)}}
	m.Config.StateDir, m.Config.RunDir = t.TempDir(), t.TempDir()
	m.Config.Kubernetes.Kubeconfig = m.api.Kubeconfig()
	var err error
	if m.cluster, err = openCluster(m.Options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.cluster.close)
	return m
}

func (m *member) put(ranges ...string) {
	m.api.Put("nodes/n", map[string]any{"metadata": map[string]string{"name": "n"}, "spec": corev1.NodeSpec{PodCIDRs: ranges}})
}

// learn starts an agent as far as its ranges, with sandboxes of these addresses.
func (m *member) learn(want string, addresses ...string) {
	m.Helper()
	var attachments []model.Attachment
	for _, a := range addresses {
		attachments = append(attachments, model.Attachment{
			Interfaces: []model.Interface{{Addresses: []netip.Addr{netip.MustParseAddr(a)}}},
		})
	}
	got, err := learnRanges(m.Context(), m.Options, m.cluster, attachments)
	if fmt.Sprint(got) != want || err != nil {
		m.Errorf("ranges %s, %v, want %s", got, err, want)
	}
}

// What was learned is known to the next start, whatever the API server does, and is
// renewed unless sandboxes stand on it.
func TestRangesAreKept(t *testing.T) {
	m := newMember(t)
	m.put("10.9.1.0/24")
	m.learn("[10.9.1.0/24]")
	m.put("10.9.2.0/24", "fd00::/64")
	m.learn("[10.9.1.0/24]", "10.9.1.7")
	m.api.Stop()
	m.learn("[10.9.1.0/24]")
	if known, err := rangesKnown(m.Config); err != nil || !slices.Equal(known, prefixes("10.9.1.0/24")) {
		t.Errorf("known: %s, %v", known, err)
	}
	m.api.Start()
	m.learn("[10.9.2.0/24 fd00::/64]")
	m.put()
	m.learn("[10.9.2.0/24 fd00::/64]", "10.9.2.7", "fd00::7")
}

// A record that is damaged or another node's is not trusted.
func TestRangesOfNobody(t *testing.T) {
	m := newMember(t)
	m.put("10.9.1.0/24")
	for _, text := range []string{"", "{", `{"node": "other", "ranges": ["10.8.0.0/24"]}`, `{"node": "n", "ranges": ["10.8.0.0/31"]}`, `{"node": "n"}`} {
		if err := os.WriteFile(m.Config.NodeFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if known, err := rangesKnown(m.Config); known != nil || err == nil || !strings.Contains(err.Error(), m.Config.NodeFile()) {
			t.Errorf("%s: %s, %v", text, known, err)
		}
		m.learn("[10.9.1.0/24]")
	}
}

// Who knows no ranges waits until it is stopped.
func TestWaitingEndsWithTheAgent(t *testing.T) {
	m := newMember(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := learnRanges(ctx, m.Options, m.cluster, nil); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("ranges %s, %v", got, err)
	}
}
