// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
)

// handshaker makes TLS of a connection, with what the files have at the time.
type handshaker struct{ connection *Connection }

// ClientHandshake implements credentials.TransportCredentials.
func (h handshaker) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := h.connection.target.files.load()
	if err != nil {
		h.connection.note(err)
		return nil, nil, err
	}
	conn, info, err := credentials.NewTLS(c).ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, h.connection.fail(ctx, authority, err)
	}
	return &fresh{Conn: conn, connection: h.connection, address: authority}, info, nil
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

// errMute is of an etcd that closes a connection without a word.
var errMute = errors.New("it closed the connection without a word")

// explain says which etcd an error is about, and what to do where that is known.
func (c *Connection) explain(address string, err error) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   *net.OpError
	)
	advice := ""
	switch {
	case errors.Is(err, errMute) && c.target.plain:
		advice = "; if it wants TLS, write https:// (in etcd.conf: insecure-transport: false, and ca-file)"
	case errors.Is(err, errMute):
		advice = "; it may want a client certificate"
	case errors.As(err, &record):
		advice = "; it does not speak TLS: write http:// (in etcd.conf: insecure-transport: true), or set etcd up for TLS"
	case errors.As(err, &unknown) && c.target.files.ca == "":
		advice = "; name the file with its authority's certificate (etcd.tls.caFile, in etcd.conf: ca-file)"
	case errors.As(err, &unknown):
		advice = "; its authority is not in " + c.target.files.ca
	case errors.As(err, &name):
		advice = "; use an endpoint that its certificate is for, or give it one for this"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		advice = "; give it a new certificate, or set the clock"
	case errors.As(err, &alert) && alert.Op == "remote error" && c.target.files.cert == "":
		advice = "; it wants a client certificate (etcd.tls.certFile and keyFile, in etcd.conf: cert-file and key-file)"
	case errors.As(err, &alert) && alert.Op == "remote error":
		advice = "; it does not take the client certificate in " + c.target.files.cert
	}
	return fmt.Errorf("etcd at %s: %w%s", address, err, advice)
}
