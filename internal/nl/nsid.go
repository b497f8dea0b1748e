// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// anyNSID asks the kernel to choose (NETNSA_NSID_NOT_ASSIGNED).
const anyNSID = -1

// NSID is the id that this handle's namespace has for another one, given if it
// has none yet. Without an id the other's events do not reach a subscription
// here. The id is free again once the other namespace is gone.
func (h *Handle) NSID(other *netns.Handle) (int, error) {
	id, err := h.GetNetNsIdByFd(other.FD())
	if err != nil {
		return 0, fmt.Errorf("namespace id: %w", err)
	}
	if id != anyNSID {
		return id, nil
	}
	// The kernel gives one by itself when links lead there (EEXIST).
	if err := h.SetNetNsIdByFd(other.FD(), anyNSID); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, fmt.Errorf("give a namespace id: %w", err)
	}
	id, err = h.GetNetNsIdByFd(other.FD())
	if err != nil {
		return 0, fmt.Errorf("namespace id: %w", err)
	}
	return id, nil
}
