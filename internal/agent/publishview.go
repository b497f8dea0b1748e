// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"time"

	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish"
	"github.com/polynic/polynic/internal/publish/store"
)

// of is how what is published for an attachment stands; nil where nothing is.
func (p *published) of(att model.Attachment) *inspect.Published {
	if att.MicroserviceLabel == "" {
		return nil
	}
	state, err := p.state(att.ID)
	shown := &inspect.Published{Label: att.MicroserviceLabel, State: state.String()}
	if err != nil {
		shown.Reason = err.Error()
	}
	return shown
}

func (p *published) state(id model.AttachmentID) (publish.State, error) {
	if p == nil {
		return publish.Absent, errNoEtcd
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loop == nil {
		return publish.Pending, p.reason
	}
	return p.loop.State(store.PodRef(id))
}

// tell adds to a status what there is to know of etcd.
func (p *published) tell(status *inspect.Status) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.away(); err != nil {
		status.Problems = append(status.Problems, inspect.Problem{Object: inspect.Etcd, Reason: err.Error()})
	}
	for _, one := range p.leaving() {
		status.Withdrawn = append(status.Withdrawn, inspect.Withdrawn{
			Namespace: one.Owner.Namespace, Pod: one.Owner.Name, Label: one.Label,
		})
	}
}

// away says why etcd cannot be used now, or nil. The caller holds p.mu.
func (p *published) away() error {
	if p.loop == nil {
		return p.reason
	}
	since, err := p.loop.Away()
	if err != nil {
		err = fmt.Errorf("it has been away since %s: %w", since.Format(time.TimeOnly), err)
	}
	return err
}

// leaving lists the claims that were withdrawn and of which something is left, and
// forgets those of which nothing is. The caller holds p.mu.
func (p *published) leaving() []claimed {
	var list []claimed
	for id, one := range p.claims {
		if !one.withdrawn {
			continue
		}
		if p.loop != nil {
			if state, _ := p.loop.State(store.PodRef(id)); state == publish.Absent {
				delete(p.claims, id)
				continue
			}
		}
		list = append(list, one)
	}
	return list
}
