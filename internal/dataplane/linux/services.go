// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

var (
	_ dataplane.Services      = (*Driver)(nil)
	_ dataplane.ServiceLimits = (*Driver)(nil)
)

// ApplyServices implements dataplane.Services.
func (d *Driver) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	return d.services.ApplyServices(ctx, put, gone)
}

// Unserved implements dataplane.ServiceLimits.
func (d *Driver) Unserved(s desired.Service) error { return d.services.Unserved(s) }

// ObserveServices implements dataplane.Services.
func (d *Driver) ObserveServices(ctx context.Context) (map[desired.ServiceKey]desired.Service, error) {
	return d.services.ObserveServices(ctx)
}

// RemoveServices implements dataplane.Services.
func (d *Driver) RemoveServices(ctx context.Context) error { return d.services.RemoveServices(ctx) }
