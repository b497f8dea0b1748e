// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deviceplugin

import "errors"

// ErrNoDevices is wrapped by errors about pods that ask for memif interfaces in
// their annotation and for no memif devices in their containers' limits.
var ErrNoDevices = errors.New("no container of it has memif devices (add `" + Resource +
	": N` to a container's resources.limits, N being the number of its memif interfaces)")
