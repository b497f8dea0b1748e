// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package controller is what a cluster has once: of several processes one leads
// and works, and another takes over when it goes. It sees to the objects of
// contivpp.io, and says in their status what became of them. Each kind has a
// reconciler; what is done for it outside of the API is another package's.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "github.com/polynic/polynic/api/v1"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// Config is what a controller works with.
type Config struct {
	Log *slog.Logger
	// API is how the API server is reached.
	API *rest.Config
	// Namespace is where the lease is by which one of several leads.
	Namespace string
	// Health is the address of /healthz and /readyz; empty for none.
	Health string
	// Etcd makes the publisher of CustomConfigurations; nil where there is no etcd.
	Etcd Etcd
	// KeyForm is which form keys of routes have.
	KeyForm ligato.Form
}

// lease is the name of the lease, and with it of the program.
const lease = "polynic-controller"

// How long the leader may be away before another one takes over, and how often it
// says that it is there.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
	grace         = 5 * time.Second // for what is under way when the program ends
)

// Run works until ctx ends, or it leads no more: then the process should end too,
// and be started again. Kubernetes' libraries log where log is, of the whole
// process.
func Run(ctx context.Context, c Config) error {
	logger := logr.FromSlogHandler(c.Log.Handler())
	log.SetLogger(logger)
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("scheme: %w", err)
	}
	if c.Health == "" {
		c.Health = "0"
	}
	one := true // every process has one of each anyway, and tests more
	mgr, err := manager.New(c.API, manager.Options{
		Scheme: scheme, Logger: logger,
		Cache:          cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		LeaderElection: true, LeaderElectionID: lease, LeaderElectionNamespace: c.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(leaseDuration), RenewDeadline: new(renewDeadline), RetryPeriod: new(retryPeriod),
		GracefulShutdownTimeout: new(grace),
		Metrics:                 server.Options{BindAddress: "0"},
		HealthProbeBindAddress:  c.Health,
		Controller:              config.Controller{SkipNameValidation: &one},
	})
	if err != nil {
		return fmt.Errorf("API server %s: %w", c.API.Host, err)
	}
	alive := func(*http.Request) error { return nil }
	if err := errors.Join(mgr.AddHealthzCheck("alive", alive), mgr.AddReadyzCheck("alive", alive)); err != nil {
		return err
	}
	if err := addCustomConfigurations(mgr, c); err != nil {
		return fmt.Errorf("CustomConfigurations: %w", err)
	}
	c.Log.InfoContext(ctx, "started", slog.String("apiserver", c.API.Host), slog.Bool("etcd", c.Etcd != nil))
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	return nil
}
