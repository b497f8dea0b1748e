// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ipam

import "errors"

// ErrFull is wrapped by errors that mean that a range has no address left.
var ErrFull = errors.New("no address is left")

// ErrTaken is wrapped by errors that mean that an address is given already.
var ErrTaken = errors.New("the address is taken")

// ErrOutside is wrapped by errors that mean that an address is in none of the
// allocator's ranges, or is one that pods never get (the gateway, say).
var ErrOutside = errors.New("the address is not one for pods of this node")
