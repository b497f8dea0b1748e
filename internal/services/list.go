// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// Listed is what a service comes to.
type Listed struct {
	plan.ResolvedService
	// Pending: the dataplane has not yet accepted it as it is now, also that it is
	// left to others.
	Pending bool
}

// List tells what each service comes to, by namespace and name.
func (r *Resolver) List() []Listed {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resolver.spread()
	differs := map[model.ServiceRef]bool{}
	for key := range r.differs {
		differs[key.Service] = true
	}
	list := make([]Listed, 0, len(r.resolver.services))
	for _, s := range r.resolver.services {
		now := r.resolver.node.Resolve(r.resolver.facts(s))
		// What waits to be resolved again may have been nobody's here, and be so still.
		waits := r.resolver.dirty[s.Ref] && len(r.resolver.made[s.Ref])+len(now.Made()) > 0
		list = append(list, Listed{now, !r.observed || differs[s.Ref] || waits})
	}
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return list
}
