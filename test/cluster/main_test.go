// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster proves that the product works in Kubernetes: the real control
// plane, kubelet, containerd and kube-proxy on a machine of their own, and a user
// with kubectl.
package cluster

import (
	"os"
	"testing"

	"github.com/polynic/polynic/test/machine"
)

func TestMain(m *testing.M) { os.Exit(machine.Main(m)) }
