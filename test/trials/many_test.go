// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/test/harness"
)

// TestManyInterfaces: a pod has as many interfaces as one may ask for; its
// neighbours are served meanwhile and afterwards.
func TestManyInterfaces(t *testing.T) {
	const many = podif.MaxInterfaces
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	var list []string
	for i := range many {
		list = append(list, fmt.Sprintf("i%d/%s", i, []string{"veth", "veth", "veth", "tap"}[i%4]))
	}
	big, small := n.Pod(strings.Join(list, ",")), n.Pod(mixed)
	if result := big.MustAdd(); len(result.Interfaces) != many+1 {
		t.Errorf("%d interfaces, want %d", len(result.Interfaces), many+1)
	}
	expectWired(t, small, small.MustAdd())
	if err := big.Check(); err != nil {
		t.Error(err)
	}
	n.RestartAgent()
	big.MustDel()
	expectWired(t, small, small.MustAdd())
	small.MustDel()
	n.ExpectClean(baseline)
}
