// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"reflect"
	"sync"

	"github.com/polynic/polynic/memif"
)

// likeV3 is release 3 of ligato's agent.
const likeV3 = "v3"

// agent has the interfaces that etcd asks for.
type agent struct {
	prefix string
	like   string

	mu   sync.Mutex // guards out and said
	out  io.Writer
	said map[string]bool

	ports   map[string]*port
	serving sync.WaitGroup
}

func newAgent(label, like string, out io.Writer) *agent {
	return &agent{prefix: "/vnf-agent/" + label + "/config/", like: like, out: out, said: map[string]bool{}, ports: map[string]*port{}}
}

// say tells people one line. No value of etcd is told, for there are secrets in
// them.
func (a *agent) say(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, format+"\n", args...)
}

func (a *agent) sayOnce(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.mu.Lock()
	isNew := !a.said[text]
	a.said[text] = true
	a.mu.Unlock()
	if isNew {
		a.say("%s", text)
	}
}

// resync makes the interfaces as the values say. One whose own value changed is
// made anew; what leads its packets is changed as it runs.
func (a *agent) resync(ctx context.Context, values map[string][]byte) {
	w := a.read(values)
	for name, p := range a.ports {
		if i, ok := w.interfaces[name]; !ok || !reflect.DeepEqual(i, p.config) {
			p.close()
			delete(a.ports, name)
			a.say("%s: removed", name)
		}
	}
	for name, i := range w.interfaces {
		p := a.ports[name]
		if p == nil {
			var err error
			if p, err = a.add(ctx, i); err != nil {
				a.sayOnce("%s: %v", name, err)
				continue
			}
			a.ports[name] = p
		}
		p.lead(w.routes[name], w.neighbors[name])
	}
}

// add connects a memif, as VPP does: it goes on trying.
func (a *agent) add(ctx context.Context, i vppInterface) (*port, error) {
	if i.Type != "MEMIF" || i.Memif.Master || !i.Enabled {
		return nil, fmt.Errorf("type %s, master %t, enabled %t: this is not served here", i.Type, i.Memif.Master, i.Enabled)
	}
	conn, err := memif.Dial(i.Memif.SocketFilename, memif.Config{
		ID: i.Memif.ID, Secret: memif.Secret(i.Memif.Secret), Application: "vnfagent", Name: fmt.Sprintf("memif0/%d", i.Memif.ID),
	})
	if err != nil {
		return nil, err
	}
	p := newPort(i, conn)
	a.say("%s: memif0/%d, %v", i.Name, i.Memif.ID, i.IPAddresses)
	ctx = context.WithoutCancel(ctx) // it outlives the watch that told of it
	a.serving.Go(func() {
		if _, err := conn.Connected(ctx); err == nil {
			a.say("%s: connected", i.Name)
		}
	})
	a.serving.Go(func() { p.serve(ctx) })
	return p, nil
}

func (a *agent) close() {
	for p := range maps.Values(a.ports) {
		p.close()
	}
	a.serving.Wait()
}

func addresses(prefixes []netip.Prefix) []netip.Addr {
	var list []netip.Addr
	for _, p := range prefixes {
		list = append(list, p.Addr())
	}
	return list
}
