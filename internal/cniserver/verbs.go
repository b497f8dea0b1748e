// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/openfiles"
)

// outcome is what a verb leaves: the caller's output, and for the log the pod.
type outcome struct {
	pod    model.PodRef
	stdout []byte
}

// errGone is the cause of a context whose caller has hung up.
var errGone = errors.New("the caller has gone away")

// do carries out one request within its bound. DEL and GC go on when the caller
// does not wait for them; work for ADD and CHECK would be in vain.
func (s *Server) do(ctx context.Context, conn net.Conn, r cniwire.Request) (outcome, error) {
	bound := s.bound(r.Command)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not done within %s", bound))
	defer cancel()
	if r.Command == "ADD" || r.Command == "CHECK" {
		var gone context.CancelCauseFunc
		ctx, gone = context.WithCancelCause(ctx)
		defer cancelOnHangup(conn, func() { gone(errGone) })()
	}
	done, err := s.verb(ctx, r)
	err = openfiles.Explain("polynic-agent", err)
	switch {
	case errors.Is(err, openfiles.ErrLimit): // whatever it looked like where it was met
		err = errorf(cniwire.CodeTryAgainLater, "%w", err)
	case err != nil && ctx.Err() != nil && attach.CodeOf(err) == cniwire.CodeInternal:
		err = errorf(cniwire.CodeTryAgainLater, "%s: %w: %w", r.Command, context.Cause(ctx), err)
	}
	return done, err
}

func (s *Server) bound(command string) time.Duration {
	switch command {
	case "ADD":
		return s.bounds.Add
	case "DEL":
		return s.bounds.Del
	case "CHECK":
		return s.bounds.Check
	case "GC":
		return s.bounds.GC
	default:
		return s.bounds.Status
	}
}

func (s *Server) verb(ctx context.Context, r cniwire.Request) (outcome, error) {
	if r.Command == "DEL" {
		return s.del(ctx, r)
	}
	conf, err := parseNetConf(r.Command, r.Stdin)
	if err != nil {
		return outcome{}, err
	}
	switch r.Command {
	case "ADD":
		return s.add(ctx, r, conf)
	case "CHECK":
		return s.check(ctx, r, conf)
	case "GC":
		return outcome{}, s.gc(ctx, conf)
	case "STATUS":
		return outcome{}, s.verbs.Status(ctx)
	default:
		return outcome{}, errorf(cniwire.CodeInvalidEnvironment, "CNI_COMMAND %q is not known", r.Command)
	}
}

func (s *Server) add(ctx context.Context, r cniwire.Request, conf netConf) (outcome, error) {
	request, err := parseRequest(r, conf)
	done := outcome{pod: request.Pod}
	if err != nil {
		return done, err
	}
	prev, err := conf.prevForAdd(request)
	if err != nil {
		return done, err
	}
	made, err := s.verbs.Add(ctx, request)
	if err != nil {
		return done, err
	}
	done.stdout, err = composeResult(made, prev, cniwire.AnswerVersion(conf.CNIVersion))
	return done, err
}

// del never fails for its form: what could not be attached is not attached.
func (s *Server) del(ctx context.Context, r cniwire.Request) (outcome, error) {
	request, malformed := parseDel(r)
	done := outcome{pod: request.Pod}
	if malformed != nil {
		return done, nil //nolint:nilerr // an ADD with this id was refused: nothing is there
	}
	return done, s.verbs.Del(ctx, request)
}

func (s *Server) check(ctx context.Context, r cniwire.Request, conf netConf) (outcome, error) {
	request, err := parseRequest(r, conf)
	done := outcome{pod: request.Pod}
	if err != nil {
		return done, err
	}
	prev, err := conf.prevForCheck(request)
	if err != nil {
		return done, err
	}
	return done, s.verbs.Check(ctx, request, prev)
}

func (s *Server) gc(ctx context.Context, conf netConf) error {
	valid, err := conf.validAttachments()
	if err != nil {
		return err
	}
	if valid == nil {
		s.log.WarnContext(ctx, "GC removes nothing: its list of valid attachments is null", slog.String("network", conf.Name))
		return nil
	}
	return s.verbs.GC(ctx, conf.Name, valid)
}
