// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// How soon a server that does not answer is noticed, and one that answers again.
const (
	connectLimit = 3 * time.Second
	firstRedial  = 100 * time.Millisecond
	lastRedial   = 2 * time.Second
	keepalive    = 10 * time.Second // etcd refuses clients that ask more often than each 5 s
	dead         = 4 * time.Second
)

// Dial makes a client of etcd and waits for nothing: whether etcd is there shows
// at the first request. Its requests end at once with the reason where there is no
// connection, which the client of itself would keep to itself while it waits. It
// logs nothing, unless config has a logger. The caller closes it.
func Dial(config clientv3.Config) (*clientv3.Client, error) {
	config.MaxUnaryRetries = 1
	config.DialKeepAliveTime, config.DialKeepAliveTimeout = keepalive, dead
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	config.DialOptions = append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRedial, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRedial},
			MinConnectTimeout: connectLimit,
		}),
		grpc.WithChainUnaryInterceptor(failFast),
	}, config.DialOptions...)
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return client, nil
}

func failFast(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error { //nolint:revive // grpc.UnaryClientInterceptor
	return invoke(ctx, method, request, reply, conn, append(options, grpc.WaitForReady(false))...)
}
