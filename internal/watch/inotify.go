// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The events that are waited for. A file is read once its writer has closed it,
// never half-written; that is why this is inotify itself and not a portable
// package, none of which tells of the closing.
const (
	ancestorEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	folderEvents   = ancestorEvents | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_DELETE
	// goneEvents end a watch, or make it one of another path.
	goneEvents = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_IGNORED
)

// inotify watches one folder or, while it does not exist, the nearest folder
// above it. It is used by one goroutine.
type inotify struct {
	fd      int
	file    *os.File // owns fd
	buffer  []byte
	current int  // the watch; 0 for none
	exists  bool // the watch is of the folder itself
}

// news is what one read of inotify told.
type news struct {
	// changes are the files that changed, in order.
	changes []change
	// relist is set where the names are not all: events were lost, or the
	// folder itself came or went.
	relist bool
}

// change is a file that came, went or was written.
type change struct {
	file string
	// closed is set where its writer has closed it.
	closed bool
}

func newInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify (are too many in use? see sysctl fs.inotify.max_user_instances): %w", err)
	}
	return &inotify{fd: fd, file: os.NewFile(uintptr(fd), "inotify"), buffer: make([]byte, 64<<10)}, nil
}

func (n *inotify) close() error { return n.file.Close() }

// watch makes path the watched folder; it reports whether that exists. It is to
// be called again after news with relist.
func (n *inotify) watch(path string) (bool, error) {
	for above := ""; ; {
		var err error
		if n.exists, err = n.add(path, folderEvents); n.exists || err != nil {
			return n.exists, err
		}
		nearest := path
		for found := false; !found; {
			nearest = filepath.Dir(nearest)
			if found, err = n.add(nearest, ancestorEvents); err != nil {
				return false, err
			}
		}
		// What is missing may have been made before this watch was there, so it
		// is looked for once more.
		if nearest == above {
			return false, nil
		}
		above = nearest
	}
}

// add replaces the watch by one of path; it reports whether path is a folder.
func (n *inotify) add(path string, events uint32) (bool, error) {
	wd, err := unix.InotifyAddWatch(n.fd, path, events)
	switch {
	case isMissing(err) && path != filepath.Dir(path):
		return false, nil
	case errors.Is(err, unix.ENOSPC):
		return false, fmt.Errorf("watch folder %s (are too many in use? see sysctl fs.inotify.max_user_watches): %w", path, err)
	case err != nil:
		return false, fmt.Errorf("watch folder %s: %w", path, err)
	}
	if n.current != 0 && n.current != wd {
		// It may have gone with its folder (EINVAL): all the better.
		_, _ = unix.InotifyRmWatch(n.fd, uint32(n.current))
	}
	n.current = wd
	return true, nil
}

// isMissing reports whether nothing is at a path, or no folder above it.
func isMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// next waits for news until the deadline, if there is one (the zero time is
// none), and then returns none. The error is the context's once that has ended.
func (n *inotify) next(ctx context.Context, deadline time.Time) (news, error) {
	if err := n.file.SetReadDeadline(deadline); err != nil {
		return news{}, fmt.Errorf("inotify: %w", err)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = n.file.SetReadDeadline(time.Unix(1, 0)) // an error means that nothing is being read
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
	}()
	size, err := n.file.Read(n.buffer)
	if ctx.Err() != nil {
		return news{}, ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return news{}, nil
	}
	if err != nil {
		return news{}, fmt.Errorf("read inotify: %w", err)
	}
	return n.parse(n.buffer[:size]), nil
}

// parse reads what the kernel wrote: struct inotify_event (inotify(7)), each
// followed by its name, padded with zero bytes.
func (n *inotify) parse(data []byte) news {
	var told news
	for len(data) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(data)))
		mask := binary.NativeEndian.Uint32(data[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(data[12:]))
		name := strings.TrimRight(string(data[unix.SizeofInotifyEvent:end]), "\x00")
		data = data[end:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			told.relist = true
		case wd != n.current: // of a watch that was replaced
		case mask&goneEvents != 0, !n.exists:
			told.relist = true
		default:
			told.changes = append(told.changes, change{name, mask&unix.IN_CLOSE_WRITE != 0})
		}
	}
	return told
}
