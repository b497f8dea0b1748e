// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// ForgetFlows has connection tracking forget every flow of the network namespace that
// the caller is in.
func ForgetFlows() error {
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("forget all flows: %w", err)
	}
	return nil
}
