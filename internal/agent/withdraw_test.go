// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

// slicesOfNodes is a cluster that has redirects of two nodes.
type slicesOfNodes struct {
	podSource

	mu   sync.Mutex
	has  map[string]string // node, by the pod's UID
	gone func(model.PodRef)
}

func (c *slicesOfNodes) RunServices(ctx context.Context, sink watch.ServiceSink, o watch.ServiceOptions) error {
	c.mu.Lock()
	for uid, node := range c.has {
		sink.PutRedirect("shop/polynic-"+uid, model.Redirect{Pod: model.PodRef{Namespace: "shop", UID: uid}, Interface: "tap1", Node: node})
	}
	c.gone = func(p model.PodRef) { sink.DeleteRedirect("shop/polynic-"+p.UID, p) }
	c.mu.Unlock()
	sink.Synced()
	select {
	case <-o.Needed:
	case <-ctx.Done():
	}
	return nil
}

func (*slicesOfNodes) Publish(context.Context, model.Redirect) error { return nil }

func (c *slicesOfNodes) Withdraw(_ context.Context, pod model.PodRef) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.has, pod.UID)
	c.gone(pod)
	return nil
}

// With services off, no other node goes on to send to custom interfaces of this one's
// pods; what other nodes say of theirs is left.
func TestServicesOffWithdrawsRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := servingNode(config.ServicesOff)
		c := &slicesOfNodes{has: map[string]string{"a": "node1", "b": "node2", "c": "node1"}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.withdrawRedirects(ctx, c, c) }()
		synctest.Wait()
		c.mu.Lock()
		if diff := cmp.Diff(map[string]string{"b": "node2"}, c.has); diff != "" {
			t.Errorf("the cluster has (-want +got):\n%s", diff)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
