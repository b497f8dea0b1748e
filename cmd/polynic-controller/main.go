// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Command polynic-controller is what a cluster has once (package controller).
// Several may run, of which one leads.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/controller"
	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/internal/release"
	"github.com/polynic/polynic/internal/usage"
)

// version is set by the build.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "polynic-controller:", err)
		stop()
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct{ config, namespace, health, level string }

func command() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "polynic-controller --config FILE",
		Short:         "See to the objects of contivpp.io, in one process of a cluster",
		Example:       "  polynic-controller --config /etc/polynic/agent.yaml --namespace polynic-system --health :8081",
		Args:          cobra.NoArgs,
		Version:       release.Version(version),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.read()
			if err != nil {
				return err
			}
			return controller.Run(cmd.Context(), c)
		},
	}
	root.SetVersionTemplate(release.Line("polynic-controller", "{{.Version}}"))
	root.Flags().StringVar(&o.config, "config", "/etc/polynic/agent.yaml", "the agents' configuration file, of which kubernetes and etcd are read")
	root.Flags().StringVar(&o.namespace, "namespace", "", "namespace of the lease by which one of several leads (default $POD_NAMESPACE)")
	root.Flags().StringVar(&o.health, "health", "", "address to answer probes at, such as :8081 (default none)")
	root.Flags().StringVar(&o.level, "log-level", "info", "debug, info, warn or error")
	usage.Lead(root)
	return root
}

func (o options) read() (controller.Config, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return controller.Config{}, fmt.Errorf("--log-level: %w", err)
	}
	namespace := o.namespace
	if namespace == "" {
		namespace = os.Getenv("POD_NAMESPACE")
	}
	if namespace == "" {
		return controller.Config{}, fmt.Errorf("--namespace is missing: give the namespace of the lease, or set POD_NAMESPACE")
	}
	c, err := config.Load(o.config)
	if err != nil {
		return controller.Config{}, err
	}
	api, err := kube.Settings(kube.Options{Kubeconfig: c.Kubernetes.Kubeconfig, UserAgent: "polynic-controller/" + release.Version(version)})
	if err != nil {
		return controller.Config{}, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	kube.LogTo(log)
	form, err := ligato.ParseForm(c.Etcd.KeyForm)
	if err != nil {
		return controller.Config{}, fmt.Errorf("etcd.keyForm: %w", err)
	}
	result := controller.Config{Log: log, API: api, Namespace: namespace, Health: o.health, KeyForm: form}
	if c.Etcd.Enabled() {
		result.Etcd = func(context.Context) (*store.Store, func() error, error) { return open(c.Etcd) }
	}
	return result, nil
}

// open makes a client of etcd. It fails where a file is not there yet, or, with a
// name to log in with, while etcd is away.
func open(e config.Etcd) (*store.Store, func() error, error) {
	connection, err := etcdconf.New(etcdconf.SettingsOf(e), os.LookupEnv)
	if err != nil {
		return nil, nil, err
	}
	client, err := store.Dial(connection.Config())
	if err != nil {
		if why := connection.Problem(); why != nil {
			err = why
		}
		return nil, nil, err
	}
	return store.New(client), client.Close, nil
}
