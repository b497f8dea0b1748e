// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"context"
	"fmt"

	"github.com/polynic/polynic/internal/desired"
)

// Services is a driver that resolves Kubernetes services. Its methods are called by
// one goroutine, beside those of Driver. What it makes carries a mark of ours, and
// nothing else is altered or removed. Every driver that has it passes the services'
// suite in package drivertest.
type Services interface {
	// ApplyServices makes the services of put as they are told, whatever was there
	// for their keys, and removes those of gone; what is gone already is no error.
	// The cost depends on the change, not on how many services there are.
	// Connections to backends that stay go on. Where some services are not accepted
	// for a reason of their own, and all else was done, the error is
	// RefusedServices. With another error it is not known what was done; the same may be asked for again, or everything read back.
	ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error

	// ObserveServices reads back what there is. One that is there with other content
	// than it was made with is reported as it is, or left out.
	ObserveServices(ctx context.Context) (map[desired.ServiceKey]desired.Service, error)

	// RemoveServices takes away everything that ApplyServices made.
	RemoveServices(ctx context.Context) error
}

// RefusedServices is the error of ApplyServices where the dataplane does not accept
// some services, each with the reason, and has all others that were asked for.
type RefusedServices map[desired.ServiceKey]error

// Error names one of them.
func (r RefusedServices) Error() string {
	for key, err := range r {
		return fmt.Sprintf("%d refused, among them service %s: %v", len(r), key, err)
	}
	return "no service is refused"
}

// ServiceLimits is a driver of services that cannot serve every one.
type ServiceLimits interface {
	// Unserved says why the driver cannot serve a service at all, in words for its
	// author; nil where it can. It asks nobody, and may be called at any time.
	Unserved(s desired.Service) error
}
