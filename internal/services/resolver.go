// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
)

// resolver knows what there is, and what that makes of each service. A change
// costs what the services are worth that it is about. It is not safe for
// concurrent use.
type resolver struct {
	node     plan.Services
	unserved func(desired.Service) error

	services map[model.ServiceRef]model.Service
	// slices are each service's, by their names in order.
	slices map[model.ServiceRef][]model.EndpointSlice
	// sliceOf is the service that a slice is of.
	sliceOf   map[model.SliceName]model.ServiceRef
	redirects map[podKey]map[string]model.Redirect // by who tells of it
	claims    plan.Claims

	made map[model.ServiceRef][]desired.Service
	// rejected are services that the dataplane did not accept as they were then.
	rejected map[desired.ServiceKey]rejection
	// told is what was told of each service of which a part is refused.
	told map[model.ServiceRef]told
	// retried are services that were refused, and are tried as they are.
	retried map[model.ServiceRef]bool
	// dirty are services to be resolved again, and moved the pods of which the
	// redirect has changed.
	dirty map[model.ServiceRef]bool
	moved map[podKey]bool
}

// podKey tells pods of the cluster apart. The namespace is part of it, so that who
// may write in one namespace redirects no pod of another.
type podKey struct{ namespace, uid string }

func keyOf(p model.PodRef) podKey { return podKey{p.Namespace, p.UID} }

func newResolver(node plan.Services, unserved func(desired.Service) error) *resolver {
	return &resolver{
		node: node, unserved: unserved, rejected: map[desired.ServiceKey]rejection{},
		told:      map[model.ServiceRef]told{},
		retried:   map[model.ServiceRef]bool{},
		services:  map[model.ServiceRef]model.Service{},
		slices:    map[model.ServiceRef][]model.EndpointSlice{},
		sliceOf:   map[model.SliceName]model.ServiceRef{},
		redirects: map[podKey]map[string]model.Redirect{},
		claims:    plan.Claims{},
		made:      map[model.ServiceRef][]desired.Service{},
		dirty:     map[model.ServiceRef]bool{},
		moved:     map[podKey]bool{},
	}
}

func (r *resolver) putService(s model.Service) {
	old, known := r.services[s.Ref]
	r.services[s.Ref] = s
	r.dirty[s.Ref] = true
	if known {
		r.touch(r.claims.Drop(old))
	}
	r.touch(r.claims.Add(s))
}

func (r *resolver) deleteService(ref model.ServiceRef) {
	old, known := r.services[ref]
	if !known {
		return
	}
	delete(r.services, ref)
	r.dirty[ref] = true
	r.touch(r.claims.Drop(old))
}

func (r *resolver) touch(refs []model.ServiceRef) {
	for _, ref := range refs {
		r.dirty[ref] = true
	}
}

func (r *resolver) putSlice(name model.SliceName, s model.EndpointSlice) {
	if was, known := r.sliceOf[name]; known && was != s.Service {
		r.deleteSlice(name)
	}
	s.Name = name.Name
	list := r.slices[s.Service]
	at, known := slices.BinarySearchFunc(list, name.Name, compareName)
	if known {
		list[at] = s
	} else {
		r.slices[s.Service] = slices.Insert(list, at, s)
	}
	r.sliceOf[name] = s.Service
	r.dirty[s.Service] = true
}

func (r *resolver) deleteSlice(name model.SliceName) {
	ref, known := r.sliceOf[name]
	if !known {
		return
	}
	delete(r.sliceOf, name)
	list := r.slices[ref]
	if at, is := slices.BinarySearchFunc(list, name.Name, compareName); is {
		list = slices.Delete(list, at, at+1)
	}
	if r.slices[ref] = list; len(list) == 0 {
		delete(r.slices, ref)
	}
	r.dirty[ref] = true
}

// putRedirect takes a redirect that a source tells of: a pod may have several
// sources, and the first by its name counts.
func (r *resolver) putRedirect(source string, to model.Redirect) {
	pod := keyOf(to.Pod)
	if known, ok := r.redirects[pod][source]; ok && known.Equal(to) {
		return
	}
	if r.redirects[pod] == nil {
		r.redirects[pod] = map[string]model.Redirect{}
	}
	r.redirects[pod][source] = to
	r.moved[pod] = true
}

func (r *resolver) deleteRedirect(source string, of model.PodRef) {
	pod := keyOf(of)
	if _, ok := r.redirects[pod][source]; !ok {
		return
	}
	delete(r.redirects[pod], source)
	if len(r.redirects[pod]) == 0 {
		delete(r.redirects, pod)
	}
	r.moved[pod] = true
}

// redirect is where a pod serves. Sources that say the rest of one another, as
// those of each family, are put together.
func (r *resolver) redirect(of model.PodRef) (model.Redirect, bool) {
	if of.UID == "" {
		return model.Redirect{}, false
	}
	sources := r.redirects[keyOf(of)]
	if len(sources) == 0 {
		return model.Redirect{}, false
	}
	var found model.Redirect
	for _, source := range slices.Sorted(maps.Keys(sources)) {
		next := sources[source]
		if found.Interface == "" {
			found = next
			continue
		}
		// Of a pod that is on one node another may say nothing.
		if next.Interface != found.Interface || next.Node != found.Node || strings.HasPrefix(source, localSource) {
			continue
		}
		for _, a := range next.Addresses {
			if !slices.ContainsFunc(found.Addresses, func(b netip.Addr) bool { return a.Is6() == b.Is6() }) {
				found.Addresses = append(slices.Clip(found.Addresses), a)
			}
		}
	}
	return found, true
}

func (r *resolver) facts(s model.Service) plan.ServiceFacts {
	f := plan.ServiceFacts{Service: s, Slices: r.slices[s.Ref], Holder: r.claims.Holder, Unserved: r.refusal}
	if len(r.redirects) > 0 {
		f.Redirect = r.redirect
	}
	return f
}

func compareName(s model.EndpointSlice, name string) int { return strings.Compare(s.Name, name) }

// change is what is to be put, and what is to go.
type change struct {
	put  map[desired.ServiceKey]desired.Service
	gone map[desired.ServiceKey]bool
	// refused are the services of which a part is, and was not told of yet.
	refused []plan.ResolvedService
}

// take resolves what has changed since the last call.
func (r *resolver) take() change {
	r.spread()
	c := change{put: map[desired.ServiceKey]desired.Service{}, gone: map[desired.ServiceKey]bool{}}
	for ref := range r.dirty {
		resolved := plan.ResolvedService{Ref: ref}
		if s, there := r.services[ref]; there {
			resolved = r.node.Resolve(r.facts(s))
		}
		r.compare(&c, ref, resolved.Made())
		if r.isNews(resolved) {
			c.refused = append(c.refused, resolved)
		}
	}
	r.dirty = map[model.ServiceRef]bool{} // of many the map would stay large
	return c
}

// spread has the services resolved again of whose endpoints one has moved.
func (r *resolver) spread() {
	if len(r.moved) == 0 {
		return
	}
	for ref, ofService := range r.slices {
		if r.dirty[ref] {
			continue
		}
		for _, s := range ofService {
			if slices.ContainsFunc(s.Endpoints, func(e model.Endpoint) bool { return r.moved[keyOf(e.Pod)] }) {
				r.dirty[ref] = true
				break
			}
		}
	}
	clear(r.moved)
}

func (r *resolver) compare(c *change, ref model.ServiceRef, made []desired.Service) {
	old := map[desired.ServiceKey]desired.Service{}
	for _, s := range r.made[ref] {
		old[s.Key] = s
	}
	for _, s := range made {
		if was, there := old[s.Key]; !there || !sameInOrder(was, s) {
			c.put[s.Key] = s
		}
		delete(old, s.Key)
	}
	for key := range old {
		c.gone[key] = true
	}
	if len(made) == 0 {
		delete(r.made, ref)
		return
	}
	r.made[ref] = made
}

// sameInOrder compares two services that were resolved, whose order is fixed: that
// is cheaper than Equal where they differ.
func sameInOrder(a, b desired.Service) bool {
	return a.Affinity == b.Affinity && slices.Equal(a.Backends, b.Backends) && slices.Equal(a.Leaving, b.Leaving) &&
		slices.EqualFunc(a.Frontends, b.Frontends, func(f, g desired.Frontend) bool { return f.Compare(g) == 0 })
}

// all lists everything that is made of the services, as resolved last.
func (r *resolver) all() iter.Seq[desired.Service] {
	return func(yield func(desired.Service) bool) {
		for _, made := range r.made {
			for _, s := range made {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// wanted is what is made by a key, as resolved last.
func (r *resolver) wanted(key desired.ServiceKey) (desired.Service, bool) {
	made := r.made[key.Service]
	at := slices.IndexFunc(made, func(s desired.Service) bool { return s.Key == key })
	if at < 0 {
		return desired.Service{}, false
	}
	return made[at], true
}
