// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"go.fd.io/govpp/binapi/cnat"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

var _ dataplane.Services = (*Driver)(nil)

// resolver is what the driver knows of services. The node's kernel has all of them: it
// serves the node, what comes from outside, and what VPP has no translation for. So it
// is the node that tells which services there are, and VPP whether the pods' part is
// as it should be. It is used by one goroutine.
type resolver struct {
	known bool // want is
	want  map[desired.ServiceKey]desired.Service
	keys  map[vip]desired.ServiceKey // whose a wanted translation is
	// conn is the VPP that has these; whole says that everything is to be compared.
	conn  *vppapi.Conn
	have  map[vip]made
	whole bool
	// hairpin says that it was seen to that pods reach themselves.
	hairpin bool
}

// maxTogether bounds how many translations VPP is asked for in one go.
const maxTogether = 500

// ApplyServices implements dataplane.Services.
func (d *Driver) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	if err := d.knowServices(ctx); err != nil {
		return err
	}
	changed := map[vip]bool{}
	for _, key := range gone {
		d.services.forget(key, changed)
	}
	for _, s := range put {
		d.services.forget(s.Key, changed)
		d.services.remember(s, changed)
	}
	// The node's first: a VPP that hangs is not to keep it from what it must know.
	err := errors.Join(d.config.NodeServices.ApplyServices(ctx, put, gone), d.translateServices(ctx, changed))
	d.services.known = err == nil
	return err
}

// Unserved implements dataplane.ServiceLimits: the node has every service.
func (d *Driver) Unserved(s desired.Service) error {
	if limits, ok := d.config.NodeServices.(dataplane.ServiceLimits); ok {
		return limits.Unserved(s)
	}
	return nil
}

// ObserveServices implements dataplane.Services.
func (d *Driver) ObserveServices(ctx context.Context) (map[desired.ServiceKey]desired.Service, error) {
	d.services.known = false
	if err := d.knowServices(ctx); err != nil {
		return nil, err
	}
	found := maps.Clone(d.services.want)
	k, err := d.vpp(ctx)
	if err != nil || !d.resolvesServices(k.conn) {
		return found, err
	}
	if err := d.readServices(ctx, k.conn); err != nil {
		return nil, err
	}
	for key, s := range d.services.want {
		for v, backends := range translations(s) {
			if got := d.services.have[v]; !got.isOurs || !slices.Equal(got.backends, backends) {
				delete(found, key)
			}
		}
	}
	for v, t := range d.services.have {
		if _, isWanted := d.services.keys[v]; t.isOurs && !isWanted {
			s := ownerless(v, t)
			found[s.Key] = s
		}
	}
	return found, nil
}

// ownerless is how a translation of ours is told of whose service nobody knows any
// more.
func ownerless(v vip, t made) desired.Service {
	s := desired.Service{
		Key:       desired.ServiceKey{Service: model.ServiceRef{Name: v.at.String()}, Protocol: v.protocol, IPv6: v.at.Addr().Is6()},
		Frontends: []desired.Frontend{{Kind: desired.FrontendCluster, Address: v.at.Addr(), Port: v.at.Port()}},
	}
	for _, b := range t.backends {
		s.Backends = append(s.Backends, desired.Backend{Address: b.Addr(), Port: b.Port()})
	}
	return s
}

// RemoveServices implements dataplane.Services.
func (d *Driver) RemoveServices(ctx context.Context) error {
	d.services = resolver{}
	return errors.Join(d.removeTranslations(ctx), d.config.NodeServices.RemoveServices(ctx))
}

// removeTranslations takes away all that VPP has with our mark.
func (d *Driver) removeTranslations(ctx context.Context) error {
	k, err := d.vpp(ctx)
	if err != nil || lacksServices(k.conn) != nil {
		return err
	}
	have, err := readTranslations(ctx, k.conn)
	if err != nil {
		return err
	}
	var b vppapi.Batch
	for v, t := range have {
		if t.isOurs {
			takeTranslation(&b, v, t.id)
		}
	}
	if b.Len() > 0 {
		err = k.conn.Do(ctx, &b)
	}
	return errors.Join(err, d.removeHairpin(ctx, k))
}

// knowServices asks the node what services there are, once.
func (d *Driver) knowServices(ctx context.Context) error {
	if d.services.known {
		return nil
	}
	list, err := d.config.NodeServices.ObserveServices(ctx)
	if err != nil {
		return err
	}
	d.services.reset()
	for _, s := range list {
		d.services.remember(s, nil)
	}
	d.services.known = true
	return nil
}

func (r *resolver) reset() {
	r.want, r.keys = map[desired.ServiceKey]desired.Service{}, map[vip]desired.ServiceKey{}
	r.whole = true
}

// remember notes a service, and its translations among the changed.
func (r *resolver) remember(s desired.Service, changed map[vip]bool) {
	r.want[s.Key] = s
	for v := range translations(s) {
		r.keys[v] = s.Key
		if changed != nil {
			changed[v] = true
		}
	}
}

func (r *resolver) forget(key desired.ServiceKey, changed map[vip]bool) {
	for v := range translations(r.want[key]) {
		if r.keys[v] == key {
			delete(r.keys, v)
			changed[v] = true
		}
	}
	delete(r.want, key)
}

// readServices reads what VPP has.
func (d *Driver) readServices(ctx context.Context, conn *vppapi.Conn) (err error) {
	r := &d.services
	r.conn, r.whole, r.hairpin = nil, true, false
	if r.have, err = readTranslations(ctx, conn); err == nil {
		r.conn = conn
	}
	return err
}

// translateServices has VPP's translations be as wanted: those that changed, or all
// of them where it is not known that the others are.
func (d *Driver) translateServices(ctx context.Context, changed map[vip]bool) error {
	k, err := d.vpp(ctx)
	if err != nil {
		return err
	}
	if !d.resolvesServices(k.conn) {
		return nil
	}
	r := &d.services
	if r.conn != k.conn {
		if err := d.readServices(ctx, k.conn); err != nil {
			return err
		}
	}
	if r.whole {
		changed = map[vip]bool{}
		for v := range r.have {
			changed[v] = true
		}
		for v := range r.keys {
			changed[v] = true
		}
	}
	if err := d.setHairpin(ctx, k); err != nil {
		d.log.WarnContext(ctx, "a pod that asks for a service does not reach itself", slog.Any("error", err))
	}
	r.whole = true // until all went well
	var errs []error
	for part := range slices.Chunk(slices.Collect(maps.Keys(changed)), maxTogether) {
		errs = append(errs, r.translate(ctx, k.conn, part))
	}
	err = errors.Join(errs...)
	if err != nil {
		r.conn = nil
	}
	r.whole = err != nil
	return err
}

// translate has VPP's translations of some vips be as wanted.
func (r *resolver) translate(ctx context.Context, conn *vppapi.Conn, changed []vip) error {
	var errs []error
	gone, set := map[vip][]netip.AddrPort{}, map[vip][]netip.AddrPort{}
	for _, v := range changed {
		got, isThere := r.have[v]
		want, isWanted := translations(r.want[r.keys[v]])[v]
		switch {
		case isThere && !got.isOurs:
			if isWanted {
				errs = append(errs, fmt.Errorf("the address %s in VPP: %w", v, dataplane.ErrTaken))
			}
		case !isWanted && isThere:
			gone[v] = got.backends
		case isWanted && !slices.Equal(got.backends, want):
			set[v] = want
		}
	}
	return errors.Join(append(errs, r.takeAll(ctx, conn, gone), r.setAll(ctx, conn, set))...)
}

// takeAll has VPP forget translations. Their numbers may have been given to others
// meanwhile, if somebody else removed one: so VPP is asked for them before.
func (r *resolver) takeAll(ctx context.Context, conn *vppapi.Conn, list map[vip][]netip.AddrPort) error {
	if err := r.setAll(ctx, conn, list); err != nil || len(list) == 0 {
		return err
	}
	var b vppapi.Batch
	for v := range list {
		takeTranslation(&b, v, r.have[v].id)
		delete(r.have, v)
	}
	return conn.Do(ctx, &b)
}

// setAll makes translations, or gives those that are there other backends.
func (r *resolver) setAll(ctx context.Context, conn *vppapi.Conn, list map[vip][]netip.AddrPort) error {
	if len(list) == 0 {
		return nil
	}
	var b vppapi.Batch
	replies := map[vip]*cnat.CnatTranslationUpdateReply{}
	for v, backends := range list {
		replies[v] = &cnat.CnatTranslationUpdateReply{}
		setTranslation(&b, v, backends, replies[v])
	}
	err := conn.Do(ctx, &b)
	for v, backends := range list {
		r.have[v] = made{backends: backends, id: replies[v].ID, isOurs: true}
	}
	return err
}
