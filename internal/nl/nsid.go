// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// NSID is the id that the socket's namespace has for another one, given if it
// has none yet. Without an id the other's events do not reach a subscription
// here. The id is free again once the other namespace is gone.
func (s *Socket) NSID(other *netns.Handle) (int, error) {
	id := OwnNamespace
	var b Batch
	give := namespaceMessage(unix.RTM_NEWNSID, other)
	give.uint32(unix.NETNSA_NSID, chosenByKernel)
	b.add(give).OnError(func(err error) error {
		if errors.Is(err, unix.EEXIST) { // it has one, by us or since links lead there
			return nil
		}
		return fmt.Errorf("give a namespace id: %w", err)
	})
	b.findNSID(other, &id)
	if err := s.Do(&b); err != nil {
		return 0, err
	}
	if id == OwnNamespace {
		return 0, errors.New("namespace id: the kernel gave none")
	}
	return id, nil
}

// FindNSID is the id that the socket's namespace has for another one, or
// OwnNamespace if it has none.
func (s *Socket) FindNSID(other *netns.Handle) (int, error) {
	id := OwnNamespace
	var b Batch
	b.findNSID(other, &id)
	return id, s.Do(&b)
}

// chosenByKernel is NETNSA_NSID_NOT_ASSIGNED, -1.
const chosenByKernel = 1<<32 - 1

func (b *Batch) findNSID(other *netns.Handle, id *int) {
	ask := b.add(namespaceMessage(unix.RTM_GETNSID, other))
	ask.answer = func(data []byte) error {
		for kind, value := range attributes(data[min(len(data), rtgenLen):]) {
			if kind == unix.NETNSA_NSID && len(value) == 4 {
				*id = int(int32(binary.NativeEndian.Uint32(value)))
			}
		}
		return nil
	}
	ask.OnError(func(err error) error { return fmt.Errorf("namespace id: %w", err) })
}

// rtgenLen is that of struct rtgenmsg, padded.
const rtgenLen = 4

func namespaceMessage(kind uint16, ns *netns.Handle) message {
	m := newMessage(kind, 0, unix.AF_UNSPEC, 0, 0, 0)
	m.uint32(unix.NETNSA_FD, uint32(ns.FD()))
	return m
}
