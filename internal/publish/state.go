// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package publish

// State is how one claim stands.
type State uint8

// The states.
const (
	// Absent claims are not known.
	Absent State = iota
	// Pending claims are to be written, or compared, and no attempt has failed.
	Pending
	// Published claims are in etcd, as far as is known.
	Published
	// Failing claims met an error at the last attempt; it is retried.
	Failing
	// Leaving claims were withdrawn, and their keys are still to be removed.
	Leaving
)

// String is the word that users see.
func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Pending:
		return "pending"
	case Published:
		return "published"
	case Failing:
		return "failing"
	case Leaving:
		return "leaving"
	default:
		return "unknown"
	}
}
