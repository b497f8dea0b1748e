// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package nodenet is what every dataplane has in the node's own network namespace:
// one nftables table, and forwarding where it was off. Both are put back. It tells what
// networks the node has beside.
package nodenet

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/knftables"
)

// Node is the node's namespace, in which the caller is. It may be used
// concurrently.
type Node struct {
	nft    knftables.Interface
	sysctl Sysctls
	state  *stateFile
	mu     sync.Mutex // one change at a time
}

// New takes the folder of the kernel's settings, /proc/sys where it is empty, and the
// file that remembers what there was before; it may vanish at a reboot, as that
// does.
func New(sysctlDir, file string) (*Node, error) {
	nft, err := knftables.New(tableFamily, tableName)
	if err != nil {
		return nil, fmt.Errorf("nftables (is the nft program installed?): %w", err)
	}
	return &Node{nft: nft, sysctl: Sysctls(cmp.Or(sysctlDir, procSys)), state: &stateFile{path: file}}, nil
}

// Remove takes the table away, puts back what was changed and forgets.
func (n *Node) Remove(ctx context.Context) error {
	if err := n.RemoveTable(ctx); err != nil {
		return err
	}
	if err := n.RestoreForwarding(); err != nil {
		return err
	}
	return n.state.remove()
}
