// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "errors"

var (
	// errCut is a watch that was over before anything could come of it.
	errCut = errors.New("the API server, or something before it, ends the connection at once")

	errNoVersion = errors.New("the API server does not say of which version its list is")
)
