// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/need"
)

// A disk that is full, the journal's or the folders', refuses an allocation with
// the reason. What was given before is found, and there is no half of one.
func TestFullDisk(t *testing.T) {
	for _, full := range []string{"state", "run"} {
		t.Run(full, func(t *testing.T) {
			need.Root(t)
			runtime.LockOSThread() // its mount namespace ends with the test
			b := &bench{root: t.TempDir()}
			disk := filepath.Join(b.root, full)
			if err := errors.Join(os.Mkdir(disk, 0o700), unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
				unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16k,nr_inodes=10")); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}()
			b.start(t, "a boot")
			var given []model.MemifAllocation
			var err error
			for n := 0; err == nil && n < 1000; n++ {
				var a model.MemifAllocation
				if a, err = b.Allocate([]string{fmt.Sprint("d", n)}); err == nil {
					given = append(given, a)
				}
			}
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), disk) {
				t.Errorf("error %v, want no space, and where", err)
			}
			b.stop(t)
			b.start(t, "a boot")
			defer b.stop(t)
			if len(given) == 0 || b.Held() != len(given) || len(b.folders(t)) != len(given) {
				t.Errorf("%d given, %d held, folders %v", len(given), b.Held(), b.folders(t))
			}
			for n, a := range given {
				b.finds(t, a, fmt.Sprint("d", n))
			}
		})
	}
}
