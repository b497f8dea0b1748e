// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// The most that an application at a memif gets. The rings are in its own memory;
// of the relay each queue takes a goroutine.
const (
	memifQueuePairs = 4
	memifRingSize   = 4096
)

func (n Node) memif(i model.Interface, port desired.Port) (desired.Object, error) {
	if i.Memif == nil {
		return nil, errors.New("nothing is known of its socket")
	}
	m := desired.Memif{
		Port: port, ID: i.Memif.ID, Folder: i.Memif.Folder, Secret: i.Memif.Secret, AcceptUnsealed: i.Memif.AcceptUnsealed,
		QueuePairs: memifQueuePairs, RingSize: memifRingSize, Queues: i.Queues,
	}
	for _, address := range i.Addresses {
		if gateway, ok := n.gateway(address); ok {
			m.Gateways = append(m.Gateways, gateway)
		}
	}
	return m, nil
}
