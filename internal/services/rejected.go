// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/plan"
)

// rejection is a service that the dataplane did not accept, and why.
type rejection struct {
	service desired.Service
	reason  error
}

// reject has a service left out as long as it is as it is now.
func (r *resolver) reject(key desired.ServiceKey, reason error) {
	if s, wanted := r.wanted(key); wanted {
		r.rejected[key] = rejection{s, reason}
		r.dirty[key.Service] = true
	}
}

// acceptAll has everything that was rejected tried again.
func (r *resolver) acceptAll() {
	for key := range r.rejected {
		r.dirty[key.Service], r.retried[key.Service] = true, true
	}
	clear(r.rejected)
}

// refusal is why a service is not for the dataplane; nil where it is.
func (r *resolver) refusal(s desired.Service) error {
	if r.unserved != nil {
		if err := r.unserved(s); err != nil {
			return err
		}
	}
	if was, is := r.rejected[s.Key]; is && was.service.Equal(s) {
		return fmt.Errorf("the dataplane does not accept it: %w", was.reason)
	}
	return nil
}

// told is what was told of a service.
type told struct {
	refusals []plan.ServiceRefusal
	isHere   bool // an endpoint of it was on this node
}

// isNews reports whether other parts of a service are refused than were told last, or
// the service has come to this node since: who tells its author goes by that.
func (r *resolver) isNews(s plan.ResolvedService) bool {
	was := r.told[s.Ref]
	isRetried := r.retried[s.Ref]
	delete(r.retried, s.Ref)
	if len(s.Refusals) == 0 {
		if !isRetried { // or it may be refused again at once
			delete(r.told, s.Ref)
		}
		return false
	}
	isHere := was.isHere || s.IsHere()
	r.told[s.Ref] = told{s.Refusals, isHere}
	return isHere != was.isHere || !slices.Equal(was.refusals, s.Refusals)
}
