// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

// podSource is where pods come from.
type podSource interface {
	Run(ctx context.Context, sink watch.Sink) error
	RunServices(ctx context.Context, sink watch.ServiceSink, o watch.ServiceOptions) error
	Get(ctx context.Context, ref model.PodRef) (model.Pod, bool, error)
}

// sourceOf is what the configuration names.
func sourceOf(o Options, c *cluster) podSource {
	if c != nil {
		return c.source
	}
	return watch.NewDir(strings.TrimPrefix(o.Config.PodSource, "dir:"), o.Log)
}

// cluster is the API server, and how it and the node fare there.
type cluster struct {
	client *kube.Client
	source *watch.Kubernetes
	log    *slog.Logger

	mu sync.Mutex
	// since is when the API server ceased to answer; zero while it does.
	since  time.Time
	reason error
	// node is what is wrong with the node.
	node error
}

// openCluster is nil where pods do not come from an API server. Nothing is asked
// of it yet.
func openCluster(o Options) (*cluster, error) {
	if !o.Config.InCluster() {
		return nil, nil //nolint:nilnil // no cluster is a usual thing
	}
	kube.LogTo(o.Log)
	client, err := kube.New(kube.Options{
		Kubeconfig: o.Config.Kubernetes.Kubeconfig, UserAgent: "polynic-agent/" + o.Version,
	})
	if err != nil {
		return nil, err
	}
	c := &cluster{client: client, log: o.Log}
	c.source = watch.NewKubernetes(client, o.Config.NodeName, c.reached)
	return c, nil
}

func (c *cluster) close() {
	if c != nil {
		c.client.Close()
	}
}

// reached is told by the source whether the API server answers.
func (c *cluster) reached(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.reason
	c.reason = err
	switch {
	case err != nil && was == nil:
		c.since = time.Now()
		c.log.Warn("the API server does not answer: pods get what is known of them", slog.Any("error", err))
	case err == nil && was != nil:
		c.log.Info("the API server answers again", slog.Duration("after", time.Since(c.since).Round(time.Millisecond)))
		c.since = time.Time{}
	}
}

// setNode says what is wrong with the node; nil for nothing.
func (c *cluster) setNode(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && !errors.Is(err, watch.ErrAway) && (c.node == nil || c.node.Error() != err.Error()) {
		c.log.Error("the node's pod ranges", slog.Any("error", err))
	}
	c.node = err
}

// away says why the API server does not answer; nil while it does, and where there
// is none.
func (c *cluster) away() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		return nil
	}
	return fmt.Errorf("the API server has been away since %s: %w", c.since.Format(time.TimeOnly), c.reason)
}

// problems are those that exist now.
func (c *cluster) problems() []inspect.Problem {
	var list []inspect.Problem
	if err := c.away(); err != nil {
		return append(list, inspect.Problem{Object: "API server", Reason: err.Error()})
	}
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.node != nil {
		list = append(list, inspect.Problem{Object: "node", Reason: c.node.Error()})
	}
	return list
}
