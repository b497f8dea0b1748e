// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Privileged reports whether this process may enter namespaces (CAP_SYS_ADMIN)
// and change what is in them (CAP_NET_ADMIN). Who it runs as does not matter: in
// a container root may not, unless it is given both.
func Privileged() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	const need = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_ADMIN // both in the first word
	if data[0].Effective&need != need {
		return errors.New("CAP_NET_ADMIN and CAP_SYS_ADMIN are missing: run it as root, and in a container with both")
	}
	return nil
}
