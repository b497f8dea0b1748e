// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// An etcd.conf that cannot be read, or comes late, is no reason for an agent not
// to run: pods that need etcd are told, until it can be used.
func TestEtcdIsOpenedOnceItCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etcd.conf")
	o := Options{Log: slog.New(slog.DiscardHandler), Config: config.Default()}
	o.Config.NodeName, o.Config.Etcd.ConfigFile = "node1", file
	p := (&agent{Options: o}).newPublished()
	p.reopen = 10 * time.Millisecond
	before := attach.Publication{
		ID: model.AttachmentID{ContainerID: "c0", IfName: "eth0"}, Pod: model.PodRef{Namespace: "default", Name: "before"},
		Config: ligato.Pod{Label: "vnf0", Interfaces: []ligato.Interface{{Name: "tap1", Type: podif.Tap, Network: "stub"}}},
	}
	p.Set(before)
	p.Restored()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	pub := before
	pub.ID.ContainerID, pub.Config.Label = "c1", "vnf1"
	refused := func(words string) {
		t.Helper()
		deadline := time.Now().Add(5 * time.Second)
		for {
			brief, cancel := context.WithTimeout(t.Context(), time.Second)
			err := p.Publish(brief, pub)
			cancel()
			p.Withdraw(pub.ID)
			if err != nil && strings.Contains(err.Error(), words) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("error %v, want one with %q", err, words)
			}
		}
		var status inspect.Status
		p.tell(&status)
		if len(status.Problems) != 1 || status.Problems[0].Object != inspect.Etcd || !strings.Contains(status.Problems[0].Reason, words) {
			t.Errorf("problems are %+v, want etcd's with %q", status.Problems, words)
		}
	}
	refused(file + ": no such file")
	if err := os.WriteFile(file, []byte("endpoint: [a:1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(`key "endpoint" is not known`)
	if err := os.WriteFile(file, []byte("insecure-transport: true\nendpoints: ['127.0.0.1:1']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("connection refused")
	att := model.Attachment{ID: before.ID, MicroserviceLabel: "vnf0"}
	if shown := p.of(att); shown.State == "published" || shown.Label != "vnf0" {
		t.Errorf("what was published before is %+v", shown)
	}
	if shown := (*published)(nil).of(att); shown.State != "absent" || shown.Reason == "" {
		t.Errorf("without etcd it is %+v", shown)
	}
}
