// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation

import "github.com/polynic/polynic/internal/model"

// ErrUnknown is wrapped by the error of Find for devices that were not given
// together, as far as is known.
const ErrUnknown = model.Refusal("nothing is known of an allocation of these devices (was the agent's state removed? delete the pod, so that it gets others)")
