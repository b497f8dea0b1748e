// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"testing"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// The names that Multus gives never meet, and whatever the name, the rules come
// before the main table's.
func TestAddedTables(t *testing.T) {
	seen := map[int]string{}
	for n := range 1000 {
		name := fmt.Sprintf("net%d", n)
		table := plan.AddedTable(name)
		if other := seen[table]; other != "" {
			t.Errorf("%s and %s have one table", name, other)
		}
		seen[table] = name
	}
	for _, name := range []string{"", "net", "net01", "net1000", "net99999999999999999999", "ext0", "net-1", "n"} {
		if table := plan.AddedTable(name); table < 2000 || table >= 32766 || seen[table] != "" {
			t.Errorf("%q has table %d", name, table)
		}
	}
}

// An interface beside the main one has no default route in the main table.
func TestAddedInterface(t *testing.T) {
	added := seedPod()
	added.ID.IfName, added.Interfaces = "net1", added.Interfaces[:1]
	added.Interfaces[0].Name = "net1"
	set, problems := plan.Compile(plan.Snapshot{Node: node(), Attachments: []model.Attachment{added}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range set {
		port, ok := desired.PortOf(o)
		if !ok {
			continue
		}
		if len(port.Pod.Routes) != 4 || len(port.Pod.Rules) != 4 {
			t.Errorf("%s", o)
		}
		for _, r := range port.Pod.Routes {
			if r.Table != plan.AddedTable("net1") {
				t.Errorf("route %s", r)
			}
		}
	}
}
