// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is the secret that must be nowhere but in values.
const canary = "c4n4rys3cr3tc4n4rys3"

// world is an etcd and a store in it.
type world struct {
	server *etcd.Server
	client *clientv3.Client
	store  *store.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := etcd.Start(t)
	client := etcd.Dial(t, server)
	return &world{server, client, store.New(client)}
}

func (w *world) revision(t *testing.T) int64 {
	t.Helper()
	_, revision := etcd.Everything(t, w.client)
	return revision
}

// config is what the agents with a label see, key by key.
func (w *world) config(t *testing.T, label string) map[string]string {
	t.Helper()
	all, _ := etcd.Everything(t, w.client)
	maps.DeleteFunc(all, func(k, _ string) bool { return !strings.HasPrefix(k, store.ConfigPrefix(label)) })
	return all
}

// write writes as somebody else.
func (w *world) write(t *testing.T, key, value string) int64 {
	t.Helper()
	response, err := w.client.Put(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header.Revision
}

// pod is an owner.
func pod(name, node string) store.Owner {
	return store.Owner{
		Kind: store.Pod, Node: node, Namespace: "default", Name: name, UID: "uid-" + name,
		Attachment: model.AttachmentID{ContainerID: strings.Repeat("c", 60) + name, IfName: "eth0"},
	}
}

func custom(name string) store.Owner {
	return store.Owner{Kind: store.Custom, Namespace: "default", Name: name, UID: "uid-" + name}
}

// memifs is a claim as a pod with memifs of both families has it.
func memifs(t testing.TB, o store.Owner, label string, count int) store.Claim {
	t.Helper()
	p := ligato.Pod{Label: label}
	for i := range count {
		n := byte(i + 2)
		p.Interfaces = append(p.Interfaces, ligato.Interface{
			Name: fmt.Sprintf("memif%d", i), Type: podif.Memif, Network: model.DefaultNetwork,
			Addresses:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 1, n}), 32), netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: n}), 128)},
			Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00::1")},
			Subnets:    []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/48")},
			GatewayMAC: model.MAC{2, 0xfe, 0, 0, 0, n}, MemifID: uint32(i), MemifSocket: "/run/vpp/memif.sock", Secret: model.NewSecret(canary),
		})
	}
	items, err := ligato.Items(p, ligato.FormBoth)
	if err != nil {
		t.Fatal(err)
	}
	return store.Claim{Owner: o, Label: label, Items: items}
}

// claim is one with keys K=VALUE, each below the label's.
func claim(o store.Owner, label string, items ...string) store.Claim {
	c := store.Claim{Owner: o, Label: label}
	for _, item := range items {
		k, v, _ := strings.Cut(item, "=")
		c.Items = append(c.Items, ligato.Item{Key: store.ConfigPrefix(label) + k, Value: []byte(v)})
	}
	return c
}

func values(c store.Claim) map[string]string {
	all := map[string]string{}
	for _, item := range c.Items {
		all[item.Key] = string(item.Value)
	}
	return all
}

func alive(context.Context, store.Owner) (bool, error) { return true, nil }

func gone(context.Context, store.Owner) (bool, error) { return false, nil }

func (w *world) put(t *testing.T, c store.Claim, isAlive store.Alive) store.Written {
	t.Helper()
	written, err := w.store.Put(t.Context(), c, isAlive)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func (w *world) drop(t *testing.T, label string, o store.Owner) {
	t.Helper()
	if err := w.store.Drop(t.Context(), label, o); err != nil {
		t.Fatal(err)
	}
}

// keys are those below a label's, as claim takes them.
func below(label string, names ...string) []string {
	all := slices.Clone(names)
	for i, n := range all {
		all[i] = store.ConfigPrefix(label) + n
	}
	return all
}
