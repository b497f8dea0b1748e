// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package tap

import "errors"

// ErrGone means that the device does not exist, or not any more.
var ErrGone = errors.New("the device is gone")
