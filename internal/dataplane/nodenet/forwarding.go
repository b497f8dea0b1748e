// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package nodenet

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

// EnableForwarding switches routing on for the families that have a gateway,
// and remembers where it was off.
func (n *Node) EnableForwarding(gateways []netip.Addr) error {
	for _, g := range gateways {
		setting := forwardingSetting(g)
		if n.sysctl.IsOn(setting) {
			continue
		}
		if err := n.state.update(func(s *state) { s.forwardingWasOff(setting) }); err != nil {
			return err
		}
		if err := n.sysctl.Set(setting, "1"); err != nil {
			return fmt.Errorf("enable forwarding: %w", err)
		}
	}
	return nil
}

// Forwarding reports whether the node routes for all families with a gateway.
func (n *Node) Forwarding(gateways []netip.Addr) bool {
	for _, g := range gateways {
		if !n.sysctl.IsOn(forwardingSetting(g)) {
			return false
		}
	}
	return true
}

// RestoreForwarding switches off what was off before us.
func (n *Node) RestoreForwarding() error {
	var errs []error
	s, err := n.state.read()
	if err != nil {
		return err
	}
	for _, setting := range s.ForwardingWasOff {
		// An earlier version wrote down the whole path.
		setting = strings.TrimPrefix(setting, procSys+"/")
		if err := n.sysctl.Set(setting, "0"); err != nil {
			errs = append(errs, fmt.Errorf("restore forwarding: %w", err))
		}
	}
	if len(errs) == 0 {
		err = n.state.update(func(s *state) { s.ForwardingWasOff = nil })
	}
	return errors.Join(append(errs, err)...)
}
