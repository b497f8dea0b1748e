// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memifdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Remove removes the folder of an allocation with everything in it; one that is
// not there is no error. A tree of any depth and size takes three descriptors,
// and ends with ctx at the latest.
func (d Dir) Remove(ctx context.Context, id string) error {
	folder, err := d.open(id)
	if errors.Is(err, ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	err = empty(ctx, folder)
	if err == nil {
		err = d.within(id, func(all *os.File) error {
			return unix.Unlinkat(int(all.Fd()), id, unix.AT_REMOVEDIR)
		})
	}
	if err != nil {
		return fmt.Errorf("remove memif folder %s: %w", d.Path(id), err)
	}
	return nil
}

// empty removes what is in the folder. Folders within folders are moved up
// before they are emptied, because a tree may be deeper than there are
// descriptors to walk down in it.
func empty(ctx context.Context, folder *os.File) error {
	moved := 0
	for {
		left, err := each(ctx, folder, func(name string) error {
			err := unix.Unlinkat(int(folder.Fd()), name, 0)
			if !errors.Is(err, unix.EISDIR) {
				return err
			}
			return emptyInto(ctx, folder, name, &moved)
		})
		if err != nil || left == 0 {
			return err
		}
	}
}

// emptyInto removes the folder name within top, after what it holds: files are
// removed, folders are moved to top, under names that moved counts.
func emptyInto(ctx context.Context, top *os.File, name string, moved *int) error {
	folder, err := openFolder(top, name)
	if err != nil {
		return err
	}
	defer folder.Close()
	for {
		left, err := each(ctx, folder, func(within string) error {
			err := unix.Unlinkat(int(folder.Fd()), within, 0)
			for errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EEXIST) {
				*moved++
				err = unix.Renameat2(int(folder.Fd()), within, int(top.Fd()), fmt.Sprintf("moved-%d", *moved), unix.RENAME_NOREPLACE)
			}
			return err
		})
		if err != nil {
			return err
		}
		if left == 0 {
			return unix.Unlinkat(int(top.Fd()), name, unix.AT_REMOVEDIR)
		}
	}
}

// atOnce is how many names are read at a time.
const atOnce = 512

// each calls do for some of what is in the folder, and tells for how many.
func each(ctx context.Context, folder *os.File, do func(name string) error) (int, error) {
	if _, err := folder.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	names, err := folder.Readdirnames(atOnce)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := do(name); err != nil && !errors.Is(err, unix.ENOENT) {
			return 0, fmt.Errorf("%q: %w", name, err)
		}
	}
	return len(names), nil
}
