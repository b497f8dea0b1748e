// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Served says why an interface that is well-formed cannot be given, or nil.
// It is what refuses a pod at ADD and what `polynic explain` tells beforehand.
func Served(i podif.Interface) error {
	if i.Type == podif.Memif {
		return fmt.Errorf("interface %s: memif interfaces are not served yet; use tap or veth", i.Name)
	}
	switch i.Network {
	case model.DefaultNetwork, model.StubNetwork:
		return nil
	default:
		return fmt.Errorf("interface %s: there is no network %q; custom networks are not served yet, only %s and %s",
			i.Name, i.Network, model.DefaultNetwork, model.StubNetwork)
	}
}
