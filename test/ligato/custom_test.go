// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package ligato_test

import (
	"strings"
	"testing"

	_ "github.com/ligato/vpp-agent/api/models/linux/iptables"
	_ "github.com/ligato/vpp-agent/api/models/vpp/abf"
	_ "github.com/ligato/vpp-agent/api/models/vpp/acl"
	_ "github.com/ligato/vpp-agent/api/models/vpp/ipsec"
	_ "github.com/ligato/vpp-agent/api/models/vpp/l2"
	_ "github.com/ligato/vpp-agent/api/models/vpp/nat"
	_ "github.com/ligato/vpp-agent/api/models/vpp/punt"
	_ "github.com/ligato/vpp-agent/api/models/vpp/srv6"
	_ "github.com/ligato/vpp-agent/api/models/vpp/stn"
	"github.com/ligato/vpp-agent/pkg/models"
)

// An item of a CustomConfiguration has the key that the agent makes of it, for each
// of the models that release 2.1.1 has, with its fields' names in either form.
func TestAgentReadsCustomConfigurations(t *testing.T) {
	kinds := map[string]bool{}
	for _, s := range sections(t, "../../internal/publish/custom/testdata/known.txtar") {
		// Later models, and routes in the form of v3, are not for this release.
		if s.name == "known.txtar newer.yaml" || !strings.Contains(s.forms, "v2.1.1") {
			continue
		}
		for _, i := range s.items {
			if strings.Contains(i.key, "/alloc:") {
				continue
			}
			value, err := read(i)
			if err != nil {
				t.Errorf("%s: %s\n%s\n%v", s.name, i.key, i.value, err)
				continue
			}
			model, err := models.GetModel(value)
			if err != nil {
				t.Fatal(err)
			}
			kinds[model.Path()] = true
		}
	}
	for _, m := range models.RegisteredModels() {
		if path := m.Info["modelPath"]; !kinds[path] {
			t.Errorf("no golden file has an item of %s", path)
		}
	}
}
