// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package etcdconf

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// The schemes that an endpoint may begin with.
const (
	plainScheme = "http://"
	tlsScheme   = "https://"
)

// splitEndpoints gives what to connect to, HOST:PORT each, and whether all of them
// are for plain text.
func splitEndpoints(list []string) (endpoints []string, plain bool, err error) {
	if len(list) == 0 {
		return nil, false, errors.New("there is none: give HOST:PORT of at least one")
	}
	for i, text := range list {
		e := strings.TrimSpace(text)
		e, isPlain := strings.CutPrefix(e, plainScheme)
		e = strings.TrimPrefix(e, tlsScheme)
		if i > 0 && isPlain != plain {
			return nil, false, fmt.Errorf("of %q and %q one is for plain text and one for TLS: a client speaks TLS to all or to none", shown(list[i-1]), shown(text))
		}
		plain = isPlain
		if e = strings.TrimSuffix(e, "/"); !isHostPort(e) {
			return nil, false, fmt.Errorf("%q is not http://HOST:PORT, https://HOST:PORT or HOST:PORT%s", shown(text), hint(e))
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, plain, nil
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, "/@$ \t\r\n") {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}

// shown is an endpoint without what may be a password before its host.
func shown(endpoint string) string {
	at := strings.LastIndex(endpoint, "@")
	if at < 0 {
		return endpoint
	}
	scheme := strings.Index(endpoint[:at], "://")
	if scheme < 0 {
		return "..." + endpoint[at:]
	}
	return endpoint[:scheme] + "://..." + endpoint[at:]
}

func hint(endpoint string) string {
	switch {
	case strings.Contains(endpoint, "$"):
		return "; for variables to be replaced set ETCD_EXPAND_ENV_VARS in the environment, or expand-env-variables: true in the file"
	case strings.Contains(endpoint, "@"):
		return "; a name to log in with is etcd.username"
	case strings.Contains(endpoint, "://"):
		return "; no other scheme is known"
	case !strings.Contains(endpoint, ":"):
		return "; etcd's port is mostly 2379, Contiv's 12379 or 32379"
	default:
		return ""
	}
}

func anyHTTPS(list []string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.HasPrefix(strings.TrimSpace(e), tlsScheme) })
}
