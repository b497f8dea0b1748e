// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
)

// roleEnv makes a test binary a traffic helper instead.
const roleEnv = "POLYNIC_TEST_ROLE"

func runRole(role string) int {
	roles := map[string]func() error{
		"udp-sink": udpSink, "udp-source": udpSource,
		"tcp-sink": tcpSink, "tcp-source": tcpSource, "memif": memifPeer,
	}
	run, ok := roles[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "role %q is not known\n", role)
		return 2
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return 1
	}
	return 0
}
