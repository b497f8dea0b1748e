// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/failpoint"
)

// transferBound is how long a request or a reply may be on its way.
const transferBound = 5 * time.Second

// serve reads one request, does it, and writes the reply.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	begin := time.Now()
	request, err := receive(conn)
	if errors.Is(err, io.EOF) {
		return // somebody looked whether we are here
	}
	if err != nil {
		if _, ok := errors.AsType[*cniwire.VersionError](err); ok {
			err = errors.Join(err, send(conn, cniwire.Reply{Status: 1}))
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "cni request not understood", slog.Any("error", err))
		return
	}
	done, err := s.do(ctx, conn, request)
	failpoint.Hit(strings.ToLower(request.Command) + "-reply")
	reply := cniwire.Reply{Stdout: done.stdout}
	if err != nil {
		asked, _ := cniwire.ParseNetConf(request.Stdin) // its version counts even in a broken document
		sentence := strings.ReplaceAll(err.Error(), "\n", "; ")
		reply = cniwire.Reply{Status: 1, Stdout: cniwire.AppendError(nil, asked.CNIVersion, attach.CodeOf(err), sentence)}
	}
	if sendErr := send(conn, reply); sendErr != nil {
		err = errors.Join(err, fmt.Errorf("reply: %w", sendErr))
	}
	s.logVerb(ctx, request, done, err, time.Since(begin))
}

// logVerb writes the one line that a verb has in the log.
func (s *Server) logVerb(ctx context.Context, r cniwire.Request, done outcome, err error, took time.Duration) {
	const shortID = 12 // as crictl prints it
	level, result := slog.LevelInfo, "ok"
	if r.Command == "STATUS" {
		level = slog.LevelDebug // runtimes ask all the time
	}
	attrs := []slog.Attr{
		slog.String("verb", r.Command),
		slog.String("pod", done.pod.String()),
		slog.String("container", r.ContainerID[:min(len(r.ContainerID), shortID)]),
		slog.String("interface", r.IfName),
		slog.Duration("duration", took),
	}
	if err != nil {
		level, result = slog.LevelWarn, "error"
		attrs = append(attrs, slog.Uint64("code", uint64(attach.CodeOf(err))), slog.Any("error", err))
	}
	s.log.LogAttrs(ctx, level, "cni request", append(attrs, slog.String("result", result))...)
}

func receive(conn net.Conn) (cniwire.Request, error) {
	if err := checkPeer(conn); err != nil {
		return cniwire.Request{}, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(transferBound)); err != nil {
		return cniwire.Request{}, err
	}
	request, err := cniwire.ReadRequest(conn)
	if err != nil {
		return cniwire.Request{}, err
	}
	return request, conn.SetReadDeadline(time.Time{})
}

func send(conn net.Conn, reply cniwire.Reply) error {
	message, err := cniwire.AppendReply(nil, reply)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(transferBound)); err != nil {
		return err
	}
	_, err = conn.Write(message)
	return err
}

// checkPeer lets root in, and the agent's own user, whose socket it is anyway.
func checkPeer(conn net.Conn) error {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return errForeign
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if peerErr != nil {
		return fmt.Errorf("who asks: %w", peerErr)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d, process %d: %w", peer.Uid, peer.Pid, errForeign)
	}
	return nil
}

// cancelOnHangup calls cancel when the peer closes its end, until stop, which
// waits for the watch to end.
func cancelOnHangup(conn net.Conn, cancel func()) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
		}
	}()
	return func() {
		_ = conn.SetReadDeadline(time.Now()) // a closed connection has ended the watch already
		<-ended
	}
}
