// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp

import (
	"errors"
	"fmt"

	"go.fd.io/govpp/api"

	"github.com/polynic/polynic/internal/desired"
)

// say puts words around an error: CONTEXT: ERROR.
func say(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// named says which interface of which pod an error is about.
func named(p desired.Port, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in pod %s: %w", p.Pod.Name, p.PodName, err)
}

// isVPP reports whether an error is one of VPP's of that kind.
func isVPP(err error, kinds ...api.VPPApiError) bool {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// exists reports that VPP has such an interface.
func exists(err error) bool {
	return isVPP(err, api.IF_ALREADY_EXISTS, api.SUBIF_ALREADY_EXISTS, api.ENTRY_ALREADY_EXISTS, api.VALUE_EXIST)
}

// isGone reports that what was to be removed is not there.
func isGone(err error) bool {
	return isVPP(err, api.NO_SUCH_ENTRY, api.INVALID_SW_IF_INDEX, api.INVALID_SW_IF_INDEX_2, api.NO_SUCH_FIB,
		api.NO_MATCHING_INTERFACE, api.INVALID_INTERFACE, api.ADDRESS_NOT_FOUND_FOR_INTERFACE)
}

// advise adds what to do about an error on making a host-interface.
func advise(err error) error {
	switch {
	case isVPP(err, api.INVALID_INTERFACE):
		return fmt.Errorf("%w (VPP does not see the link: it must run in the node's network namespace)", err)
	case isVPP(err, api.SYSCALL_ERROR_1):
		return fmt.Errorf("%w (VPP cannot open the link: it must be root, or have CAP_NET_RAW, and memory for the rings)", err)
	default:
		return err
	}
}
