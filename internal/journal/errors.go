// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import "errors"

// ErrInUse is wrapped by the error of Open when another process has the
// journal's folder.
var ErrInUse = errors.New("another agent uses this folder (stop it, or give this one a state folder of its own)")

// errUnusable is wrapped by errors that mean that a file as a whole is not a
// journal of this node in this format.
var errUnusable = errors.New("not usable")
