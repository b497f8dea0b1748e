// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// The settings that let the node route, per family.
const (
	forwardIPv4 = "net/ipv4/ip_forward"
	forwardIPv6 = "net/ipv6/conf/all/forwarding"
)

func forwardingSetting(gateway netip.Addr) string {
	if gateway.Is4() {
		return forwardIPv4
	}
	return forwardIPv6
}

// enableForwarding switches routing on for the families that have a gateway,
// and remembers where it was off.
func (d *Driver) enableForwarding(gateways []netip.Addr) error {
	for _, g := range gateways {
		setting := forwardingSetting(g)
		if d.node.sysctl.isOn(setting) {
			continue
		}
		if err := d.state.update(func(s *state) { s.forwardingWasOff(setting) }); err != nil {
			return err
		}
		if err := d.node.sysctl.set(setting, "1"); err != nil {
			return fmt.Errorf("enable forwarding: %w", err)
		}
	}
	return nil
}

// forwarding reports whether the node routes for all families with a gateway.
func (d *Driver) forwarding(gateways []netip.Addr) bool {
	for _, g := range gateways {
		if !d.node.sysctl.isOn(forwardingSetting(g)) {
			return false
		}
	}
	return true
}

// restoreForwarding switches off what was off before us.
func (d *Driver) restoreForwarding() error {
	var errs []error
	s, err := d.state.read()
	if err != nil {
		return err
	}
	for _, setting := range s.ForwardingWasOff {
		// An earlier version wrote down the whole path.
		setting = strings.TrimPrefix(setting, procSys+"/")
		if err := d.node.sysctl.set(setting, "0"); err != nil {
			errs = append(errs, fmt.Errorf("restore forwarding: %w", err))
		}
	}
	if len(errs) == 0 {
		err = d.state.update(func(s *state) { s.ForwardingWasOff = nil })
	}
	return errors.Join(append(errs, err)...)
}
