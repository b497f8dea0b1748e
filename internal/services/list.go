// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"maps"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// Listed is what a service comes to.
type Listed struct {
	plan.ResolvedService
	// Pending: the dataplane has not yet accepted it as it is now.
	Pending bool
}

// List tells what each service comes to, by namespace and name.
func (r *Resolver) List() []Listed {
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := r.pending()
	list := make([]Listed, 0, len(r.resolver.services))
	for _, s := range r.resolver.services {
		list = append(list, Listed{r.resolver.node.Resolve(r.resolver.facts(s)), pending[s.Ref]})
	}
	slices.SortFunc(list, func(a, b Listed) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return list
}

// pending are the services that wait to be resolved again, and those that were and
// are not in the dataplane yet. It is called with r.mu held.
func (r *Resolver) pending() map[model.ServiceRef]bool {
	r.resolver.spread()
	refs := maps.Clone(r.resolver.dirty)
	for key := range r.differs {
		refs[key.Service] = true
	}
	return refs
}
