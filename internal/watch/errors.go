// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import "errors"

// errBeingWritten means that a file cannot be trusted yet: half of a manifest
// may be a whole one with fewer interfaces.
var errBeingWritten = errors.New("the file is still being written")

// ErrAway means that the API server did not answer, or refused to.
var ErrAway = errors.New("the API server does not tell")

var errNoNode = errors.New("the API server knows no such node")
