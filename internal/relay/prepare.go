// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// prepare finds out what would keep every port from working, and takes the
// state folder for this process alone; closing the file gives it back.
func prepare(ctx context.Context, stateDir string) (*os.File, error) {
	if err := netns.Privileged(); err != nil {
		return nil, err
	}
	if err := tunDevice(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := exclusive(ctx, lock); err != nil {
		return nil, errors.Join(fmt.Errorf("state folder %s: %w", stateDir, err), lock.Close())
	}
	return lock, nil
}

// exclusive locks the file, waiting for a former relay that is being killed.
func exclusive(ctx context.Context, file *os.File) error {
	var err error
	poll(ctx, handover, func() bool {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		return err == nil
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.New("another relay uses it; stop that one or give this one a folder of its own")
	}
	return err
}

func tunDevice() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("tap devices: /dev/net/tun: %w: load the kernel module (modprobe tun) or give the container that device", err)
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	return nil
}
