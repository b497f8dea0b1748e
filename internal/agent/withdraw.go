// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/services"
	"github.com/polynic/polynic/internal/watch"
)

// withdrawRedirects has the cluster forget where pods of this node served while an
// earlier agent resolved services: none of them serves there any more. It works until
// ctx ends.
func (a *agent) withdrawRedirects(ctx context.Context, source podSource, cluster services.Cluster) error {
	publisher := services.NewPublisher(a.Log, cluster, a.Config.NodeName)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return publisher.Run(ctx) })
	group.Go(func() error {
		var once sync.Once
		// Services are never needed.
		return source.RunServices(ctx, withdrawal{publisher}, watch.ServiceOptions{Reached: func(kind string, err error) {
			if err != nil {
				once.Do(func() {
					a.Log.WarnContext(ctx, "where pods of this node served may stay in the cluster: the API server does not tell; trying again",
						slog.String("kind", kind), slog.Any("error", err))
				})
			}
		}})
	})
	return group.Wait()
}

// withdrawal is a sink of services for which nothing is right that the cluster has of
// this node.
type withdrawal struct{ publisher *services.Publisher }

// PutService implements watch.ServiceSink, as do the other methods.
func (withdrawal) PutService(model.Service) {}

func (withdrawal) DeleteService(model.ServiceRef) {}

func (withdrawal) PutSlice(model.SliceName, model.EndpointSlice) {}

func (withdrawal) DeleteSlice(model.SliceName) {}

func (w withdrawal) PutRedirect(source string, to model.Redirect) { w.publisher.Has(source, to) }

func (w withdrawal) DeleteRedirect(source string, _ model.PodRef) { w.publisher.HasNot(source) }

func (w withdrawal) Synced() { w.publisher.SetLocal(nil) }
