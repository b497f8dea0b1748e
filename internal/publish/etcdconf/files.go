// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is the longest file that is read, in bytes.
const maxFile = 1 << 20

// files are those that TLS needs; each may be empty.
type files struct {
	ca, cert, key string
	// skipVerify takes whatever certificate etcd shows.
	skipVerify bool
}

// fill takes from a folder what is not named and is there.
func (f *files) fill(dir string) error {
	for _, file := range []struct {
		path *string
		name string
	}{{&f.ca, "ca.crt"}, {&f.cert, "tls.crt"}, {&f.key, "tls.key"}} {
		if *file.path != "" {
			continue
		}
		path, err := existing(dir, file.name)
		if err != nil {
			return err
		}
		*file.path = path
	}
	return nil
}

// load reads the files: every connection is made with what they have then.
func (f files) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.skipVerify}
	if f.ca != "" {
		data, err := read(f.ca)
		if err != nil {
			return nil, fmt.Errorf("certificates of etcd's authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("certificates of etcd's authority: %s has none in PEM form (-----BEGIN CERTIFICATE-----)", f.ca)
		}
	}
	if f.cert == "" {
		return c, nil
	}
	cert, err := read(f.cert)
	if err != nil {
		return nil, fmt.Errorf("client certificate for etcd: %w", err)
	}
	key, err := read(f.key)
	if err != nil {
		return nil, fmt.Errorf("key of the client certificate for etcd: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate for etcd, of %s with %s: %w", f.cert, f.key, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// existing is the path of a file in a folder, empty where there is none.
func existing(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("etcd.secretDir: %w", err)
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("etcd.secretDir: %w; mount the Secret there, or remove the setting", err)
	}
	return "", nil
}

// optional is the line in a file of a folder, empty where there is no such file.
func optional(dir, name string) (string, error) {
	path, err := existing(dir, name)
	if err != nil || path == "" {
		return "", err
	}
	line, err := readLine(path)
	if err != nil {
		return "", fmt.Errorf("etcd.secretDir: %w", err)
	}
	return line, nil
}

// readLine reads a file of one line. What is in it is not in any error.
func readLine(path string) (string, error) {
	data, err := read(path)
	if err != nil {
		return "", err
	}
	line := strings.TrimRight(string(data), "\r\n")
	if strings.ContainsAny(line, "\r\n\x00") {
		return "", fmt.Errorf("%s has more than one line", path)
	}
	return line, nil
}

// read reads a file that is short.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, nil
}
