// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// The settings that let the node route, per family.
const (
	forwardIPv4 = "/proc/sys/net/ipv4/ip_forward"
	forwardIPv6 = "/proc/sys/net/ipv6/conf/all/forwarding"
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
		if isOn(setting) {
			continue
		}
		if err := d.state.update(func(s *state) { s.forwardingWasOff(setting) }); err != nil {
			return err
		}
		if err := os.WriteFile(setting, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("enable forwarding: %w", err)
		}
	}
	return nil
}

// forwarding reports whether the node routes for all families with a gateway.
func (d *Driver) forwarding(gateways []netip.Addr) bool {
	for _, g := range gateways {
		if !isOn(forwardingSetting(g)) {
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
		if err := os.WriteFile(setting, []byte("0"), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("restore forwarding: %w", err))
		}
	}
	if len(errs) == 0 {
		err = d.state.update(func(s *state) { s.ForwardingWasOff = nil })
	}
	return errors.Join(append(errs, err)...)
}

func isOn(setting string) bool {
	value, err := os.ReadFile(setting)
	return err == nil && !bytes.Equal(bytes.TrimSpace(value), []byte("0"))
}
