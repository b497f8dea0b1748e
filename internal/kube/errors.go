// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "errors"

// errCut is a watch that was over before anything could come of it.
var errCut = errors.New("the API server, or something before it, ends the connection at once")
