// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"fmt"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// Service is what a node serves. It is what refuses a pod at ADD and what
// `polynic explain` tells beforehand.
type Service struct {
	// Memif says that memif devices are offered.
	Memif bool
	// Etcd says that the agents in pods can be told what is theirs.
	Etcd bool
}

// ServedLabel says why a pod's interfaces cannot be published for a microservice
// label, or nil.
func (s Service) ServedLabel(label string) error {
	if label != "" && !s.Etcd {
		return errNoEtcd
	}
	return nil
}

// Served says why an interface that is well-formed cannot be given, or nil.
func (s Service) Served(i podif.Interface) error {
	if i.Type == podif.Memif && !s.Memif {
		return fmt.Errorf("interface %s: this node serves no memif interfaces (memif.enabled is false in its agent's configuration); use tap or veth", i.Name)
	}
	switch i.Network {
	case model.DefaultNetwork, model.StubNetwork:
		return nil
	default:
		return fmt.Errorf("interface %s: there is no network %q; custom networks are not served yet, only %s and %s",
			i.Name, i.Network, model.DefaultNetwork, model.StubNetwork)
	}
}
