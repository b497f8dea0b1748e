// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKernelWithoutUSO(t *testing.T) {
	var device int
	kernel := func(bits int) error {
		if bits&usoOffloads != 0 {
			return unix.EINVAL
		}
		device = bits
		return nil
	}
	if err := setOffloads(kernel); err != nil || device != unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6 {
		t.Errorf("offloads %#x, %v", device, err)
	}
	refuse := func(int) error { return unix.EPERM }
	if err := setOffloads(refuse); !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v, want EPERM", err)
	}
}
