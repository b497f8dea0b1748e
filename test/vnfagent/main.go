// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Vnfagent stands in for VPP and its ligato agent in a pod: configured by the
// same environment (ETCD_CONFIG, MICROSERVICE_LABEL), it watches its part of etcd,
// connects the memifs that it finds there, and answers for their addresses by the
// neighbours and routes that it was given, and by nothing else. With VNFAGENT_LIKE
// set to v3 it takes keys as release 3 does, otherwise as release 2.1.1, which
// drops a value under a key that is not the one it would have chosen.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish/etcdconf"
	"github.com/polynic/polynic/internal/publish/store"
)

// defaultLabel is what ligato's agents call themselves.
const defaultLabel = "vpp1"

// retryAfter is how long an etcd that is away is left alone.
const retryAfter = 200 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.LookupEnv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vnfagent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, env etcdconf.Environment) error {
	file, ok := env("ETCD_CONFIG")
	if !ok {
		return errors.New("ETCD_CONFIG, the path of etcd.conf, is not in the environment")
	}
	label, ok := env("MICROSERVICE_LABEL")
	if !ok {
		label = defaultLabel
	}
	like, _ := env("VNFAGENT_LIKE")
	connection, err := etcdconf.New(etcdconf.Settings{ConfigFile: file}, env)
	if err != nil {
		return err
	}
	client, err := store.Dial(connection.Config())
	if err != nil {
		return err
	}
	defer client.Close()
	a := newAgent(label, like, out)
	defer a.close()
	a.say("label %s", label)
	for ctx.Err() == nil {
		if err := a.follow(ctx, client); err != nil && ctx.Err() == nil {
			a.say("etcd: %v (%v)", err, connection.Problem())
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
	return nil
}

// follow reads everything below the agent's prefix, and then every change, until
// it cannot go on.
func (a *agent) follow(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, err := client.Get(ctx, a.prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	values := map[string][]byte{}
	for _, kv := range all.Kvs {
		values[string(kv.Key)] = kv.Value
	}
	a.resync(ctx, values)
	watch := client.Watch(ctx, a.prefix, clientv3.WithPrefix(), clientv3.WithRev(all.Header.Revision+1))
	for answer := range watch {
		if err := answer.Err(); err != nil {
			return err
		}
		for _, event := range answer.Events {
			key := string(event.Kv.Key)
			if event.Type == clientv3.EventTypeDelete {
				delete(values, key)
			} else {
				values[key] = event.Kv.Value
			}
		}
		a.resync(ctx, values)
	}
	return errors.New("the watch ended")
}
