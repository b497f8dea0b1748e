// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

import (
	"hash/fnv"
	"strconv"
)

// The agent's state folder is the other meeting place of the two: what one
// leaves there the other finds when it is back.
const (
	// TombstoneDir is a folder in the state folder, mode 0700. A DEL that got
	// no answer is left there as a file named TombstoneName, written under a
	// name that begins with a dot and then renamed. The agent does the DEL and
	// removes the file, at start before it serves requests, and whenever one
	// appears (IN_MOVED_TO). It is not synced to disk: what takes its bytes
	// along takes the sandboxes too, so the agent drops a file that
	// ParseTombstone refuses.
	TombstoneDir = "tombstones"
	// ReadyFile is a file in the state folder. The agent sets its modification
	// time while it and its dataplane can serve ADD, at least four times per
	// away limit; its content is that limit (AppendAwayLimit), put there by
	// rename. A STATUS that finds no agent says ready while the file is
	// younger than the limit.
	ReadyFile = "ready"
)

// Tombstone is a DEL that got no answer.
type Tombstone struct {
	ContainerID string
	IfName      string
	Network     string // name of the network configuration; may be empty
}

// readableLen bounds the readable part of a tombstone's file name.
const readableLen = 80

// TombstoneName is the file name of the tombstone of one attachment: readable
// for ids that runtimes use, and safe, bounded and distinct for any.
func TombstoneName(containerID, ifName string) string {
	key := containerID + "\x00" + ifName
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(key)) // a hash never fails
	name := []byte(key[:min(len(key), readableLen)])
	for i, b := range name {
		if (b < '0' || b > '9') && (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') {
			name[i] = '-'
		}
	}
	return string(strconv.AppendUint(append(name, '-'), hash.Sum64(), 16))
}

// AppendTombstone encodes t as JSON. A field beyond MaxText is a *BoundError.
func AppendTombstone(dst []byte, t Tombstone) ([]byte, error) {
	if max(len(t.ContainerID), len(t.IfName), len(t.Network)) > MaxText {
		return dst, &BoundError{Field: "tombstone", Max: MaxText}
	}
	dst = appendJSONString(append(dst, `{"containerID":`...), t.ContainerID)
	dst = appendJSONString(append(dst, `,"ifname":`...), t.IfName)
	dst = appendJSONString(append(dst, `,"network":`...), t.Network)
	return append(dst, "}\n"...), nil
}

// ParseTombstone decodes a tombstone. The error is ErrNotObject, or
// ErrMalformed where container id or interface is missing.
func ParseTombstone(doc []byte) (Tombstone, error) {
	var t Tombstone
	err := topStrings(doc, func(key, value string) {
		switch key {
		case "containerID":
			t.ContainerID = value
		case "ifname":
			t.IfName = value
		case "network":
			t.Network = value
		}
	})
	if err == nil && (t.ContainerID == "" || t.IfName == "") {
		err = ErrMalformed
	}
	return t, err
}

// AppendAwayLimit encodes the content of ReadyFile, in seconds.
func AppendAwayLimit(dst []byte, seconds int64) []byte {
	return append(strconv.AppendInt(dst, seconds, 10), '\n')
}

// ParseAwayLimit reads the content of ReadyFile, in seconds. What is not a
// positive number and a newline is 0: an agent that left it was never ready.
func ParseAwayLimit(content string) int64 {
	last := len(content) - 1
	if last < 0 || content[last] != '\n' {
		return 0
	}
	seconds, err := strconv.ParseInt(content[:last], 10, 64)
	if err != nil {
		return 0
	}
	return max(seconds, 0)
}
