// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// dial connects to one endpoint.
func (t target) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil || !t.plain {
		return conn, err
	}
	return &fresh{Conn: conn, target: t}, nil
}

// handshaker makes TLS of a connection, with what the files have at the time.
type handshaker struct{ target target }

// ClientHandshake implements credentials.TransportCredentials.
func (h handshaker) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := h.target.files.load()
	if err != nil {
		return nil, nil, err
	}
	conn, info, err := credentials.NewTLS(c).ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, h.target.explain(err)
	}
	return &fresh{Conn: conn, target: h.target}, info, nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (handshaker) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("a client of etcd is no server")
}

// Info implements credentials.TransportCredentials.
func (handshaker) Info() credentials.ProtocolInfo { return credentials.NewTLS(&tls.Config{}).Info() }

// Clone implements credentials.TransportCredentials.
func (h handshaker) Clone() credentials.TransportCredentials { return h }

// OverrideServerName implements credentials.TransportCredentials: the name is that
// of the endpoint.
func (handshaker) OverrideServerName(string) error { return nil }

// fresh is a connection on which etcd has not said anything yet. One that wants TLS
// takes the connection and closes it, and in TLS 1.3 a client's certificate is
// refused after the handshake.
type fresh struct {
	net.Conn
	target   target
	answered atomic.Bool
}

// lastWords bounds how long what etcd said before it closed is waited for.
const lastWords = time.Second

// Read implements net.Conn.
func (f *fresh) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if n > 0 {
		f.answered.Store(true)
	}
	if err == nil || f.answered.Load() {
		return n, err
	}
	return n, f.target.explain(err)
}

// Write implements net.Conn. Where etcd has closed the connection, the reason is
// there to be read.
func (f *fresh) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	if err == nil || f.answered.Load() {
		return n, err
	}
	if f.SetReadDeadline(time.Now().Add(lastWords)) == nil {
		if _, said := f.Conn.Read(make([]byte, 1)); said != nil {
			err = said
		}
	}
	return n, f.target.explain(err)
}

// explain says what to do against an error where that is known.
func (t target) explain(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		remote  *net.OpError // where its Op is "remote error", what the other side said
	)
	advice := ""
	switch {
	case errors.Is(err, io.EOF) && t.plain:
		advice = "it closed the connection without a word; if it wants TLS, write https:// (in etcd.conf: ca-file in place of insecure-transport)"
	case errors.As(err, &record):
		advice = "it does not speak TLS; write http:// (in etcd.conf: insecure-transport: true), or set etcd up for TLS"
	case errors.As(err, &unknown) && t.files.ca == "":
		advice = "name the file with its authority's certificate (etcd.tls.caFile, in etcd.conf: ca-file)"
	case errors.As(err, &unknown):
		advice = "its authority is not in " + t.files.ca
	case errors.As(err, &name):
		advice = "use an endpoint that its certificate is for, or give it one for this"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		advice = "give it a new certificate, or set the clock"
	case errors.As(err, &remote) && remote.Op == "remote error" && t.files.cert == "":
		advice = "it wants a client certificate (etcd.tls.certFile and keyFile, in etcd.conf: cert-file and key-file)"
	case errors.As(err, &remote) && remote.Op == "remote error":
		advice = "it does not take the client certificate in " + t.files.cert
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, advice)
}
