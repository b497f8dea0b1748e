// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package ligato writes what the agent in a pod must know, as ligato's
// vpp-agent reads it.
package ligato

import "log/slog"

// Item is one key of etcd with its value, which may hold a secret. However an
// item is printed, also as a part of something else, its value is not shown.
type Item struct {
	Key   string
	Value []byte
}

// String implements fmt.Stringer without the value.
func (i Item) String() string { return i.Key }

// GoString implements fmt.GoStringer without the value.
func (i Item) GoString() string { return i.Key }

// LogValue implements slog.LogValuer without the value.
func (i Item) LogValue() slog.Value { return slog.StringValue(i.Key) }
