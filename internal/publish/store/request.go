// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// requestLimit bounds one request, so that a server that takes requests and
// answers none holds nobody.
const requestLimit = 5 * time.Second

// transaction is one request.
type transaction struct {
	compares []clientv3.Cmp
	ops      []clientv3.Op
	// otherwise is what is read where the comparisons fail.
	otherwise []clientv3.Op
}

// commit makes one request; doing is for its error.
func (s *Store) commit(ctx context.Context, doing string, t transaction) (*clientv3.TxnResponse, error) {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	response, err := s.kv.Txn(limited).If(t.compares...).Then(t.ops...).Else(t.otherwise...).Commit()
	return response, s.away(ctx, doing, err)
}

// get reads keys.
func (s *Store) get(ctx context.Context, doing, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	response, err := s.kv.Get(limited, key, options...)
	return response, s.away(ctx, doing, err)
}

// away is the error of a request. Who gave the request up gets his own reason.
func (s *Store) away(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%s: %w: %w", doing, ErrTooLarge, err)
	case status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"): // gRPC's own; it has no other name
		return fmt.Errorf("%s: %w: there are more than the %d MiB that are read; remove there what nobody needs", doing, ErrTooLarge, maxAnswer>>20)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%s: %w: %w", doing, ErrFull, err)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%s: %w: %w; give its user the prefixes /vnf-agent/ and /polynic/", doing, ErrForbidden, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w (%s): %s", doing, ErrAway, strings.Join(s.endpoints(), ", "), reason(err))
}

// reason is what an error says, without the words of the protocol.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if s, is := status.FromError(err); is && s.Message() != "" {
		return s.Message()
	}
	return err.Error()
}
