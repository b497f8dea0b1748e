// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import "errors"

// ErrStart is wrapped by errors that say why the relay cannot run here; another
// attempt would meet the same.
var ErrStart = errors.New("the relay cannot start")
