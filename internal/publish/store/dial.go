// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
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

// maxAnswer bounds, in bytes, what is read at once. Whoever may write into etcd could
// have whoever reads it run out of memory else: etcd itself sets no bound.
const maxAnswer = 8 << 20

// Dial makes a client of etcd and waits for nothing: whether etcd is there shows
// at the first request. Its requests end at once with the reason where there is no
// connection, which the client of itself would keep to itself while it waits. It
// logs nothing, unless config has a logger, and takes no answer that is larger than
// maxAnswer. The caller closes it.
func Dial(config clientv3.Config) (*clientv3.Client, error) {
	config.MaxUnaryRetries = 2 // the second is with a new token where etcd does not take the first one
	config.MaxCallRecvMsgSize = maxAnswer
	config.DialKeepAliveTime, config.DialKeepAliveTimeout = keepalive, dead
	later := &authentication{asked: config.Username != ""}
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	config.DialOptions = append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRedial, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRedial},
			MinConnectTimeout: connectLimit,
		}),
		grpc.WithChainUnaryInterceptor(failFast, later.intercept),
	}, config.DialOptions...)
	client, err := clientv3.New(config)
	later.over.Store(true)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return client, nil
}

func failFast(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error { //nolint:revive // grpc.UnaryClientInterceptor
	return invoke(ctx, method, request, reply, conn, append(options, grpc.WaitForReady(false))...)
}

// authentication is put off until the first request: a client with a user's name
// wants to be let in before it exists, for which etcd would have to be there.
type authentication struct {
	asked bool        // there is a name
	over  atomic.Bool // the client exists
	done  atomic.Bool // etcd has let it in, or asks nobody
}

func (a *authentication) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error { //nolint:revive // grpc.UnaryClientInterceptor
	switch {
	case method == authenticate && !a.over.Load():
		return rpctypes.ErrGRPCAuthNotEnabled // so it goes without a token, for now
	case method == authenticate:
		err := invoke(ctx, method, request, reply, conn, options...)
		if err == nil || errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled) {
			a.done.Store(true)
		}
		return err
	case a.asked && !a.done.Load():
		// The client gets itself a token then, and asks again. Without one etcd would
		// take it for the user that its certificate names.
		return rpctypes.ErrGRPCUserEmpty
	default:
		return invoke(ctx, method, request, reply, conn, options...)
	}
}

const authenticate = "/etcdserverpb.Auth/Authenticate"
