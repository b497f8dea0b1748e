// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
)

// roleEnv makes a test binary a traffic helper instead.
const roleEnv = "POLYNIC_TEST_ROLE"

// Role plays the part of a traffic helper, if a test started this process as
// one, and gives its exit code. Main does that by itself.
func Role() (code int, is bool) {
	role, is := os.LookupEnv(roleEnv)
	if !is {
		return 0, false
	}
	return runRole(role), true
}

func runRole(role string) int {
	roles := map[string]func() error{
		"udp-sink": udpSink, "udp-source": udpSource,
		containerRole: becomeContainer, RemoveFolderRole: removeFolder,
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
