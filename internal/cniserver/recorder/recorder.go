// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package recorder is a pod path for the tests of everything in front of it:
// it attaches nothing, remembers every call, and answers what it is told to.
package recorder

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// Call is one call of a verb; the fields that the verb has not are empty.
type Call struct {
	Verb    string
	Request attach.Request
	Prev    attach.Result
	Network string
	Valid   []model.AttachmentID
}

// Recorder implements cniserver.Verbs. Its functions stand in for the verbs
// where they are set, and are set before the first call; the other verbs
// succeed. It is safe for concurrent use.
type Recorder struct {
	OnAdd    func(context.Context, attach.Request) (attach.Result, error)
	OnDel    func(context.Context, attach.Request) error
	OnCheck  func(context.Context, attach.Request) error
	OnGC     func(context.Context) error
	OnStatus func(context.Context) error

	mu    sync.Mutex
	calls []Call
}

// Calls lists the calls so far, in the order in which they began.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *Recorder) record(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// Add answers Sample.
func (r *Recorder) Add(ctx context.Context, request attach.Request) (attach.Result, error) {
	r.record(Call{Verb: "ADD", Request: request})
	if r.OnAdd != nil {
		return r.OnAdd(ctx, request)
	}
	return Sample(request), nil
}

// Del succeeds.
func (r *Recorder) Del(ctx context.Context, request attach.Request) error {
	r.record(Call{Verb: "DEL", Request: request})
	if r.OnDel != nil {
		return r.OnDel(ctx, request)
	}
	return nil
}

// Check succeeds.
func (r *Recorder) Check(ctx context.Context, request attach.Request, prev attach.Result) error {
	r.record(Call{Verb: "CHECK", Request: request, Prev: prev})
	if r.OnCheck != nil {
		return r.OnCheck(ctx, request)
	}
	return nil
}

// GC succeeds.
func (r *Recorder) GC(ctx context.Context, network string, valid []model.AttachmentID) error {
	r.record(Call{Verb: "GC", Network: network, Valid: valid})
	if r.OnGC != nil {
		return r.OnGC(ctx)
	}
	return nil
}

// Status succeeds.
func (r *Recorder) Status(ctx context.Context) error {
	r.record(Call{Verb: "STATUS"})
	if r.OnStatus != nil {
		return r.OnStatus(ctx)
	}
	return nil
}

// Sample is a pod with everything a result can hold: the main interface in
// both families, a tap in an L3 network, and a memif. The tap has a default
// route too, which must not be taken for the pod's.
func Sample(request attach.Request) attach.Result {
	gateways := []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("fd00::1")}
	return attach.Result{
		NetnsPath: request.NetnsPath,
		Interfaces: []attach.ResultInterface{{
			Name:      request.ID.IfName,
			Type:      podif.Veth,
			Network:   model.DefaultNetwork,
			MAC:       model.MAC{2, 0xfe, 0, 0, 0, 1},
			MTU:       1450,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.1.2/32"), netip.MustParsePrefix("fd00::2/128")},
			Gateways:  gateways,
			Routes: []attach.ResultRoute{
				{Dst: netip.MustParsePrefix("10.1.1.1/32")},
				{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: gateways[0]},
				{Dst: netip.MustParsePrefix("::/0"), Via: gateways[1]},
			},
		}, {
			Name:      "tap1",
			Type:      podif.Tap,
			Network:   "l3net",
			MAC:       model.MAC{2, 0xfe, 0, 0, 0, 2},
			MTU:       1450,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.100.1.2/32")},
			Routes: []attach.ResultRoute{
				{Dst: netip.MustParsePrefix("10.100.0.0/16"), Via: netip.MustParseAddr("10.100.1.1")},
				{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("10.100.1.1")},
			},
		}, {
			Name:       "memif1",
			Type:       podif.Memif,
			Network:    model.StubNetwork,
			SocketPath: "/run/vpp/memif.sock",
		}},
	}
}
