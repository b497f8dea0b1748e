// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// DeleteGroup deletes every link of a group (IFLA_GROUP) in one request, which
// costs the kernel one grace period instead of one per link. A group without
// links is no error. It has a socket of its own: nobody waits for the grace
// period who has other things to ask.
func DeleteGroup(ns *netns.Handle, group uint32) error {
	s, err := NewSocket(ns)
	if err != nil {
		return err
	}
	m := newMessage(unix.RTM_DELLINK, 0, linkHeader(0, 0, 0)...)
	m.uint32(unix.IFLA_GROUP, group)
	var b Batch
	b.add(m).OnError(func(err error) error {
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return fmt.Errorf("delete link group %d: %w", group, err)
	})
	return errors.Join(s.Do(&b), s.Close())
}
