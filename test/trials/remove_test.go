// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/test/harness"
)

// TestRemove takes polynic off a node whose pods run on: these have nothing of
// it any more. The journal knows their namespaces; where it is lost they are
// found in the runtime's folder.
func TestRemove(t *testing.T) {
	for name, test := range map[string]struct {
		podNetnsDir string
		journalLost bool
	}{
		"with the journal":    {podNetnsDir: "/nowhere"},
		"without the journal": {podNetnsDir: "/run/netns", journalLost: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := harness.Start(t, func(c *config.Config) { c.PodNetnsDir = test.podNetnsDir })
			before := map[*harness.Pod]string{}
			for _, annotation := range []string{mixed, "veth1/veth"} {
				p := n.Pod(annotation)
				look, err := p.Look()
				if err != nil {
					t.Fatal(err)
				}
				before[p] = string(look)
				p.MustAdd()
			}
			n.Agent.Kill()
			if test.journalLost {
				if err := os.Remove(n.Config.JournalFile()); err != nil {
					t.Fatal(err)
				}
			}
			n.Remove()
			for p, want := range before {
				look, err := p.Look()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(look), "\n")); diff != "" {
					t.Errorf("%s (-before +after):\n%s", p.Name, diff)
				}
			}
		})
	}
}
