// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
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
		deadline := time.Now().Add(20 * time.Second)
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

// stubs publishes a pod with an interface of a name under a label of its own.
func stubs(pod, sandbox, name string) attach.Publication {
	return attach.Publication{
		ID: model.AttachmentID{ContainerID: sandbox, IfName: "eth0"}, Pod: model.PodRef{Namespace: "default", Name: pod, UID: "uid-" + pod},
		Config: ligato.Pod{Label: "vnf-" + pod, Interfaces: []ligato.Interface{{Name: name, Type: podif.Tap, Network: "stub"}}},
	}
}

// publishing is what is published by an agent that runs until the test ends, after
// it was told of what the journal has.
func publishing(t *testing.T, s *etcd.Server, told func(*published)) *published {
	t.Helper()
	o := Options{Log: slog.New(slog.DiscardHandler), Config: config.Default()}
	o.Config.NodeName, o.Config.Etcd.Endpoints = "node1", etcd.Dial(t, s).Endpoints()
	p := (&agent{Options: o}).newPublished()
	told(p)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

func mustBePublished(t *testing.T, p *published, pub attach.Publication) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		shown := p.of(model.Attachment{ID: pub.ID, MicroserviceLabel: pub.Config.Label})
		if shown.State == "published" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("sandbox %s is %+v", pub.ID, shown)
		}
	}
}

// Of a pod's sandboxes the last has the label, also where an earlier one is still
// on its way out when the agent starts.
func TestLastSandboxIsPublishedAfterARestart(t *testing.T) {
	s := etcd.Start(t)
	names := strings.Split("abcdefgh", "")
	p := publishing(t, s, func(p *published) {
		for _, name := range names {
			p.Set(stubs(name, "first-"+name, "tap1"))
			p.Withdraw(stubs(name, "first-"+name, "tap1").ID)
			p.Set(stubs(name, "second-"+name, "tap1"))
		}
		p.Restored()
	})
	for _, name := range names {
		mustBePublished(t, p, stubs(name, "second-"+name, "tap1"))
	}
}

// What this version cannot say of a pod that lives stays as an earlier one said it,
// and goes with the pod; what is left of others goes at once.
func TestWhatCannotBeSaidAnyMore(t *testing.T) {
	s := etcd.Start(t)
	client := etcd.Dial(t, s)
	there := func() string {
		all, _ := etcd.Everything(t, client)
		labels := map[string]bool{}
		for key := range all {
			labels[strings.Split(strings.TrimPrefix(strings.TrimPrefix(key, "/polynic/v1/published/"), "/vnf-agent/"), "/")[0]] = true
		}
		return strings.Join(slices.Sorted(maps.Keys(labels)), " ")
	}
	unspeakable := stubs("a", "of-a", "two/elements")
	p := publishing(t, s, func(p *published) {
		for _, name := range []string{"a", "b", "gone"} {
			claim, err := p.claim(stubs(name, "of-"+name, "tap1"))
			if err == nil {
				_, err = store.New(client).Put(t.Context(), claim, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p.Set(unspeakable)
		p.Set(stubs("b", "of-b", "tap1"))
		p.Restored()
	})
	mustBePublished(t, p, stubs("b", "of-b", "tap1"))
	mustBe := func(want string) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); there() != want; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("etcd has %s, want %s", there(), want)
			}
		}
	}
	mustBe("vnf-a vnf-b")
	shown := p.of(model.Attachment{ID: unspeakable.ID, MicroserviceLabel: "vnf-a"})
	if shown.State != "failing" || !strings.Contains(shown.Reason, "two/elements") {
		t.Errorf("it is %+v", shown)
	}
	p.Withdraw(unspeakable.ID)
	mustBe("vnf-b")
}
