// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

func TestWatchSeesEventsAndRestarts(t *testing.T) {
	path := socket(t)
	failed := func(id string) relayapi.Event {
		return relayapi.Event{Kind: relayapi.EventPortFailed, ID: id, Reason: "the device is gone"}
	}
	tell := func(first, last int) script {
		return func(_ *relayapi.Reader, out net.Conn) {
			for i := first; i <= last; i++ {
				e := failed(fmt.Sprint(i))
				reply(out, relayapi.Reply{Event: &e})
			}
		}
	}
	stay := func(in *relayapi.Reader, out net.Conn) {
		// A relay cannot claim what only the client can know.
		reply(out, relayapi.Reply{Event: &relayapi.Event{Kind: relayapi.EventDisconnected}})
		tell(4, 4)(in, out)
		_, _ = in.Request()
	}
	listen(t, path, tell(1, 3), stay)
	c := newClient(t, path)
	connected, disconnected := relayapi.Event{Kind: relayapi.EventConnected}, relayapi.Event{Kind: relayapi.EventDisconnected}
	want := []relayapi.Event{connected, failed("1"), failed("2"), failed("3"), disconnected, connected, failed("4")}
	var got []relayapi.Event
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Watch(ctx, func(e relayapi.Event) {
		if got = append(got, e); len(got) == len(want) {
			cancel()
		}
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWatchMayCallTheClient(t *testing.T) {
	path := socket(t)
	listen(t, path, serveAll)
	c := newClient(t, path)
	if _, err := c.List(t.Context()); err != nil { // connected before the watch
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Watch(ctx, func(e relayapi.Event) {
		if e.Kind != relayapi.EventConnected {
			t.Errorf("event %+v", e)
		}
		if _, err := c.List(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Watch(ctx, nil); err == nil {
			t.Error("a second watch was accepted")
		}
		cancel()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCloseEndsTheWatch(t *testing.T) {
	path := socket(t)
	listen(t, path, serveAll)
	c := newClient(t, path)
	err := c.Watch(t.Context(), func(e relayapi.Event) {
		if e.Kind == relayapi.EventConnected {
			c.Close()
		}
	})
	if err == nil {
		t.Error("a closed client goes on watching")
	}
}
