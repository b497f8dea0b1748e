// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
)

// attempts bounds how often nft is asked for the sake of services that it refuses.
const attempts = 64

// part is what is changed together.
type part struct {
	put  []desired.Service
	gone []desired.ServiceKey
}

// search applies what it can of a change that nft refused, and finds the services for
// which it did.
func (t *Table) search(ctx context.Context, p part, why error) error {
	t.made = nil
	if err := t.know(ctx); err != nil {
		return err
	}
	// What one gives up another may get, and they may come to be tried apart.
	for _, one := range p.put {
		if e := t.made[one.Key]; e != nil && !sameFrontends(e.service, one) {
			p.gone = append(slices.Clip(p.gone), one.Key)
		}
	}
	s := search{Table: t, refused: dataplane.RefusedServices{}, left: attempts}
	if err := s.halve(ctx, p, why); err != nil {
		return err
	}
	t.made = nil
	if err := t.know(ctx); err != nil {
		return err
	}
	switch {
	case s.accepted == 0 && (t.isNew || len(p.put) > 1):
		return why // where nothing is accepted, it is not for one service
	case len(s.refused) > 0:
		return s.refused
	default:
		return nil
	}
}

func sameFrontends(a, b desired.Service) bool {
	return len(a.Frontends) == len(b.Frontends) && !slices.ContainsFunc(b.Frontends, func(f desired.Frontend) bool {
		return !slices.ContainsFunc(a.Frontends, func(g desired.Frontend) bool { return f.Compare(g) == 0 })
	})
}

func isRefused(err error) bool {
	_, is := errors.AsType[*nftError](err)
	return is
}

// search finds which services of a part nft refuses.
type search struct {
	*Table
	refused  dataplane.RefusedServices
	left     int // attempts
	accepted int // parts
}

// halve applies what can be of a part that nft refused, and why.
func (s *search) halve(ctx context.Context, p part, why error) error {
	s.made = nil
	switch {
	case len(p.gone) > 0:
		// Without what goes there is no room for what comes.
		if err := s.try(ctx, part{gone: p.gone}, why); err != nil {
			return err
		}
		return s.try(ctx, part{put: p.put}, why)
	case len(p.put) == 0:
		return why
	case len(p.put) == 1:
		first, _, _ := strings.Cut(why.Error(), "\n") // nft adds what it was given
		s.refused[p.put[0].Key] = errors.New(first)
		return nil
	}
	middle := len(p.put) / 2
	for _, half := range [][]desired.Service{p.put[:middle], p.put[middle:]} {
		if err := s.try(ctx, part{put: half}, why); err != nil {
			return err
		}
	}
	return nil
}

// try applies a part of what was refused, and why.
func (s *search) try(ctx context.Context, p part, why error) error {
	if s.left--; s.left < 0 {
		return fmt.Errorf("nft refuses more services than can be told apart, among them: %w", why)
	}
	err := s.apply(ctx, p.put, p.gone)
	if isRefused(err) {
		if len(p.gone) > 0 {
			return err
		}
		return s.halve(ctx, p, err)
	}
	if err == nil {
		s.accepted++
	}
	return err
}
