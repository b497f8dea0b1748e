// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"maps"
	"slices"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

var _ dataplane.Services = (*Driver)(nil)

// ServiceApply is one call of ApplyServices that was carried out.
type ServiceApply struct {
	Put  []desired.Service
	Gone []desired.ServiceKey
}

// services is the part of the fake that resolves services.
type services struct {
	made    map[desired.ServiceKey]desired.Service
	before  func(context.Context) error
	applies []ServiceApply
	// rejected are services that are not accepted.
	rejected map[desired.ServiceKey]error
}

// RejectService has a service not accepted from now on, for a reason; nil has it
// accepted again.
func (d *Driver) RejectService(key desired.ServiceKey, reason error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services.rejected == nil {
		d.services.rejected = map[desired.ServiceKey]error{}
	}
	d.services.rejected[key] = reason
}

// BeforeServices has a function called ahead of everything that is asked of
// services from now on; its error fails that. It may block.
func (d *Driver) BeforeServices(before func(context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.services.before = before
}

func (d *Driver) beforeServices(ctx context.Context) error {
	d.mu.Lock()
	before := d.services.before
	d.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx)
}

// ApplyServices implements dataplane.Services.
func (d *Driver) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	if err := d.beforeServices(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services.made == nil {
		d.services.made = map[desired.ServiceKey]desired.Service{}
	}
	for _, key := range gone {
		delete(d.services.made, key)
	}
	refused := dataplane.RefusedServices{}
	for _, s := range put {
		if reason := d.services.rejected[s.Key]; reason != nil {
			refused[s.Key] = reason
			continue
		}
		s.Frontends, s.Backends, s.Leaving = slices.Clone(s.Frontends), slices.Clone(s.Backends), slices.Clone(s.Leaving)
		d.services.made[s.Key] = s
	}
	d.services.applies = append(d.services.applies, ServiceApply{Put: put, Gone: gone})
	if len(refused) > 0 {
		return refused
	}
	return nil
}

// ObserveServices implements dataplane.Services.
func (d *Driver) ObserveServices(ctx context.Context) (map[desired.ServiceKey]desired.Service, error) {
	if err := d.beforeServices(ctx); err != nil {
		return nil, err
	}
	return d.Services(), nil
}

// RemoveServices implements dataplane.Services.
func (d *Driver) RemoveServices(ctx context.Context) error {
	if err := d.beforeServices(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.services.made = nil
	return nil
}

// Services lists the services that exist.
func (d *Driver) Services() map[desired.ServiceKey]desired.Service {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := maps.Clone(d.services.made)
	if found == nil {
		found = map[desired.ServiceKey]desired.Service{}
	}
	return found
}

// ServiceApplies lists the calls of ApplyServices that were carried out.
func (d *Driver) ServiceApplies() []ServiceApply {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.services.applies)
}

// LoseService makes a service vanish without our doing, unreported.
func (d *Driver) LoseService(key desired.ServiceKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.services.made, key)
}
