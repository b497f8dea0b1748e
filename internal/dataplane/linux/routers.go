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
func (s sysctls) obeyNobody(link string) error {
	for _, setting := range []string{"accept_ra", "accept_redirects"} {
		err := s.set(filepath.Join("net/ipv6/conf", link, setting), "0")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take no routers from pods: %w", err)
		}
	}
	return nil
}
