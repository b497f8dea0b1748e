// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/model"
)

// Claims are who asks for each frontend. The first of them has it: one to whom the
// cluster gave the address, then the one that was made first, then by name; so
// every node decides alike, and a newcomer takes nothing away. They are not safe for
// concurrent use.
type Claims map[FrontendClaim][]claimant

type claimant struct {
	ref     model.ServiceRef
	given   bool // by the cluster
	created int64
}

func compareClaimants(a, b claimant) int {
	if a.given != b.given {
		if a.given {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.ref.String(), b.ref.String()))
}

// Holder is the service that has a frontend.
func (c Claims) Holder(f FrontendClaim) model.ServiceRef {
	if list := c[f]; len(list) > 0 {
		return list[0].ref
	}
	return model.ServiceRef{}
}

// Add enters what a service asks for, and lists the others that ask for some of
// it.
func (c Claims) Add(s model.Service) []model.ServiceRef {
	var others []model.ServiceRef
	for f, given := range ClaimsOf(s) {
		others = append(others, refsOf(c[f])...)
		one := claimant{ref: s.Ref, given: given, created: s.Created}
		at, _ := slices.BinarySearchFunc(c[f], one, compareClaimants)
		c[f] = slices.Insert(c[f], at, one)
	}
	return others
}

// Drop takes out what a service asked for, and lists the others that ask for some
// of it.
func (c Claims) Drop(s model.Service) []model.ServiceRef {
	var others []model.ServiceRef
	for f := range ClaimsOf(s) {
		c[f] = slices.DeleteFunc(c[f], func(o claimant) bool { return o.ref == s.Ref })
		others = append(others, refsOf(c[f])...)
		if len(c[f]) == 0 {
			delete(c, f)
		}
	}
	return others
}

func refsOf(list []claimant) []model.ServiceRef {
	refs := make([]model.ServiceRef, len(list))
	for i, one := range list {
		refs[i] = one.ref
	}
	return refs
}
