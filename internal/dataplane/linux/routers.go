// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// obeyNobody has a link of the calling thread's namespace, or by the name
// "default" all that come, take nothing from who says to be a router: pods are
// none. Without IPv6 there is nothing to do.
func obeyNobody(link string) error {
	for _, setting := range []string{"accept_ra", "accept_redirects"} {
		path := filepath.Join("/proc/sys/net/ipv6/conf", link, setting)
		if err := os.WriteFile(path, []byte("0"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take no routers from pods: %w", err)
		}
	}
	return nil
}
