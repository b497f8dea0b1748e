// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import "errors"

var (
	errStopping = errors.New("the agent is stopping")

	errNoEtcd = errors.New("no etcd is configured any more")

	errRangesChanged = errors.New("the node's pod ranges have changed (pods keep theirs; " +
		"delete the node's pods to have the new ones taken)")
)
