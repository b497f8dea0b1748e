// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/unixsock"
)

// listen makes the agent's two sockets: for requests, and for questions.
func listen(ctx context.Context, o Options, verbs cniserver.Verbs) (*cniserver.Server, net.Listener, error) {
	requests, err := cniserver.Listen(ctx, cniserver.Config{
		Socket: o.Config.CNISocket(), Bounds: cniserver.DefaultBounds(), Log: o.Log,
	}, verbs)
	if err != nil {
		return nil, nil, err
	}
	questions, err := unixsock.Keep(ctx, o.Config.InspectSocket(), 0o600, o.Log)
	if err != nil {
		return nil, nil, errors.Join(err, requests.Close())
	}
	return requests, questions, nil
}

// waitForRanges waits until the cluster says what ranges the node's pods have.
// Meanwhile there is nothing that pods could be given: STATUS tells what is waited
// for, ADDs are put off, and DELs are left to the agent that starts then.
func waitForRanges(ctx context.Context, o Options, c *cluster) ([]netip.Prefix, error) {
	serving, end := context.WithCancel(ctx)
	defer end()
	readiness := newReadiness()
	readiness.until("the node's pod ranges are known")
	requests, questions, err := listen(serving, o, newGate(o, nil, readiness, serving.Done()))
	if err != nil {
		return nil, err
	}
	var ranges []netip.Prefix
	group, serving := errgroup.WithContext(serving)
	group.Go(func() error { return requests.Run(serving) })
	group.Go(func() error { return inspect.NewServer(&early{o, readiness}, o.Log).Serve(serving, questions) })
	group.Go(func() error {
		defer end()
		said := ""
		c.source.RunNode(serving, func(node model.Node, err error) {
			if err == nil {
				ranges, err = rangesOf(o.Config, node)
			}
			if err == nil {
				end()
				return
			}
			readiness.until("the node's pod ranges are known: " + err.Error())
			if said != err.Error() {
				said = err.Error()
				o.Log.WarnContext(ctx, "waiting for the node's pod ranges", slog.Any("error", err))
			}
		})
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return ranges, ctx.Err()
}

// early is what can be seen of an agent that does not know its ranges.
type early struct {
	Options
	readiness *readiness
}

// Interfaces implements inspect.View, as do the other methods.
func (*early) Interfaces(context.Context) []inspect.Interface { return nil }

func (*early) Plan() desired.Set { return nil }

func (*early) Services() []inspect.Service { return nil }

func (e *early) Status() inspect.Status {
	status := inspect.Status{Node: e.Config.NodeName, Version: e.Version}
	if why := e.readiness.why(); why != nil {
		status.Problems = append(status.Problems, inspect.Problem{Object: "agent", Reason: why.Error()})
	}
	return status
}
