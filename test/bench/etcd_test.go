// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/etcd"
	"github.com/polynic/polynic/test/figure"
)

// published is how many pods come at once, memifsEach how many memifs each has.
const (
	published  = 200
	memifsEach = 8
)

// publishing is what a burst of pods with labels pays for etcd, beside what the
// same keys and values, records included, cost one who just puts them, a pod a
// transaction. Both have the same server in turns, which syncs its files.
func publishing(t *testing.T, s *sheet) {
	t.Helper()
	server := etcd.StartSynced(t)
	client := etcd.Dial(t, server)
	pods, rounds := published, 4*s.bursts
	if s.pods < 50 {
		pods, rounds = s.pods, 1
	}
	p := runPublisher(t, client)
	claims := make([]store.Claim, pods)
	for i := range claims {
		claims[i] = labelled(t, i)
	}
	written := map[string]string{}
	ours := func() time.Duration {
		began := time.Now()
		forEach(t, pods, func(i int) error { return p.Publish(t.Context(), claims[i]) })
		took := time.Since(began)
		written, _ = etcd.Everything(t, client)
		for _, c := range claims {
			p.Withdraw(c.Ref())
		}
		forEach(t, pods, func(i int) error { return p.Gone(t.Context(), claims[i].Ref()) })
		return took
	}
	bare := func() time.Duration {
		puts := make([][]clientv3.Op, pods)
		for i, c := range claims {
			for _, key := range append(c.Keys(), "/polynic/v1/published/"+c.Label+"/pod") {
				puts[i] = append(puts[i], clientv3.OpPut(key, written[key]))
			}
		}
		began := time.Now()
		forEach(t, pods, func(i int) error {
			_, err := client.Txn(t.Context()).Then(puts[i]...).Commit()
			return err
		})
		took := time.Since(began)
		if same, _ := etcd.Everything(t, client); !maps.Equal(same, written) {
			t.Errorf("the arms wrote %d and %d keys, or not the same values", len(written), len(same))
		}
		if _, err := client.Delete(t.Context(), "", clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		return took
	}
	ours() // so that the bytes are known
	publisher, putter := &figure.Arm{Name: "publisher"}, &figure.Arm{Name: "bare client"}
	for round := range rounds {
		if round%2 == 0 { // what an arm leaves to the server's disk is the next one's to bear
			publisher.Took(ours() / time.Duration(pods))
			putter.Took(bare() / time.Duration(pods))
		} else {
			putter.Took(bare() / time.Duration(pods))
			publisher.Took(ours() / time.Duration(pods))
		}
	}
	s.Ratio(fmt.Sprintf("etcd per pod, %d pods with %d memifs at once, vs a bare client", pods, memifsEach),
		publisher.Median()/putter.Median(), figure.AtMost(1.5), "ms", publisher, putter)
	s.Note("etcd: %d keys per pod, the record among them", len(written)/pods)
}

// runPublisher runs a publisher until the test ends.
func runPublisher(t *testing.T, client *clientv3.Client) *publish.Publisher {
	t.Helper()
	p := publish.New(publish.Config{Log: slog.New(slog.DiscardHandler), Store: store.New(client), Kind: store.Pod, Node: "node"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

// forEach does something for each of n at the same time, and waits for all.
func forEach(t *testing.T, n int, do func(int) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := do(i); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// labelled is what a pod with memifs of both families claims.
func labelled(t *testing.T, n int) store.Claim {
	t.Helper()
	p := ligato.Pod{Label: fmt.Sprint("vnf", n)}
	address := []netip.Addr{netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("fd10:1::2")}
	for i := range memifsEach {
		p.Interfaces = append(p.Interfaces, ligato.Interface{
			Name: fmt.Sprintf("memif%d", i), Type: podif.Memif, Network: model.DefaultNetwork,
			Addresses:  []netip.Prefix{netip.PrefixFrom(address[0], 32), netip.PrefixFrom(address[1], 128)},
			Gateways:   []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd10:1::1")},
			Subnets:    []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
			GatewayMAC: model.MAC{2, 0xfe, byte(n >> 8), byte(n), 0, byte(i)}, MemifID: uint32(i), MemifSocket: "/run/vpp/memif.sock",
			Secret: model.NewSecret("bcdfghjklmnpqrstvwxz"),
		})
		address = []netip.Addr{address[0].Next(), address[1].Next()}
	}
	items, err := ligato.Items(p, ligato.DefaultForm)
	if err != nil {
		t.Fatal(err)
	}
	return store.Claim{
		Owner: store.Owner{
			Kind: store.Pod, Node: "node", Namespace: "default", Name: fmt.Sprint("pod-", n), UID: fmt.Sprintf("%036d", n),
			Attachment: model.AttachmentID{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"},
		},
		Label: p.Label, Items: items,
	}
}
