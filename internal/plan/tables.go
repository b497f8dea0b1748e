// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// The routing tables in a pod. Rules have their table's number as priority,
// which is before the main table's 32766.
const (
	// firstTable is that of the first custom interface; the others follow. They
	// all belong to one attachment.
	firstTable = 1001
	// netTable is before that of net1, as Multus calls what it adds first.
	netTable, netTables = 20000, 1000
	// namedTable is the first of those that names are spread over.
	namedTable, namedTables = netTable + netTables, 11000
)

// table is the routing table of an interface that has one of its own: all but
// the pod's main one. It follows from what is seen on the interface, so that an
// agent which lost its journal finds the same.
func table(a model.Attachment, index int) int {
	if index > 0 {
		return firstTable + index - 1
	}
	return AddedTable(a.ID.IfName)
}

// AddedTable is the routing table of an interface beside the main one that a
// runtime, or a plugin such as Multus, asked for by name. Two names may share
// one, which a pod then cannot have both.
func AddedTable(name string) int {
	if digits, ok := strings.CutPrefix(name, "net"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n < netTables && strconv.FormatUint(n, 10) == digits {
			return netTable + int(n)
		}
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name)) // never fails
	return namedTable + int(hash.Sum32()%namedTables)
}
