// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package nswatch notices that a path has stopped leading to the network
// namespace that it led to: at once where the path's folder can be watched by
// inotify, and within RecheckInterval elsewhere, as under /proc.
package nswatch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
)

// RecheckInterval is how often every path is looked at whatever inotify says.
const RecheckInterval = 2 * time.Second

// Watcher watches namespace paths. Safe for concurrent use.
type Watcher struct {
	folders *fsnotify.Watcher

	mu    sync.Mutex
	paths map[string]map[*Watch]struct{}
	used  map[string]int // watches per watched folder
}

// Watch is one path under watch.
type Watch struct {
	path     string
	ino, dev uint64 // dev is 0 until the path was looked at
	gone     func(error)
}

// New makes a watcher; Run makes it work.
func New() (*Watcher, error) {
	folders, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch network namespaces: %w", err)
	}
	return &Watcher{folders: folders, paths: map[string]map[*Watch]struct{}{}, used: map[string]int{}}, nil
}

// Add watches a clean absolute path that leads to the namespace with the given
// inode. gone is called once, by Run, with an error that wraps netns.ErrGone; it
// must not wait for anything. Where the path leads elsewhere already, Add
// returns that error instead.
func (w *Watcher) Add(path string, inode uint64, gone func(error)) (*Watch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if folder, ok := watchable(path); ok {
		if err := w.folders.Add(folder); err != nil {
			return nil, fmt.Errorf("watch network namespace %s: %w", path, err)
		}
		w.used[folder]++
	}
	watch := &Watch{path: path, ino: inode, gone: gone}
	if w.paths[path] == nil {
		w.paths[path] = map[*Watch]struct{}{}
	}
	w.paths[path][watch] = struct{}{}
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if why := watch.satisfied(st, err); why != nil {
		w.removeLocked(watch)
		return nil, why
	}
	watch.dev = st.Dev
	return watch, nil
}

// Remove ends a watch; one that has ended already is no error.
func (w *Watcher) Remove(watch *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removeLocked(watch)
}

func (w *Watcher) removeLocked(watch *Watch) {
	watches := w.paths[watch.path]
	if _, ok := watches[watch]; !ok {
		return
	}
	delete(watches, watch)
	if len(watches) == 0 {
		delete(w.paths, watch.path)
	}
	folder, ok := watchable(watch.path)
	if !ok {
		return
	}
	if w.used[folder]--; w.used[folder] == 0 {
		delete(w.used, folder)
		_ = w.folders.Remove(folder) // fails only where the folder is gone
	}
}

// Run calls back until ctx ends (nil).
func (w *Watcher) Run(ctx context.Context) error {
	recheck := time.NewTicker(RecheckInterval)
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.folders.Events:
			if !ok {
				return nil
			}
			w.check(filepath.Clean(e.Name))
		case err := <-w.folders.Errors:
			if err == nil { // closed
				return nil
			}
			w.checkAll() // events were lost
		case <-recheck.C:
			w.checkAll()
		}
	}
}

// Close ends every watch.
func (w *Watcher) Close() error {
	if err := w.folders.Close(); err != nil {
		return fmt.Errorf("watch network namespaces: %w", err)
	}
	return nil
}

func (w *Watcher) checkAll() {
	w.mu.Lock()
	paths := make([]string, 0, len(w.paths))
	for path := range w.paths {
		paths = append(paths, path)
	}
	w.mu.Unlock()
	for _, path := range paths {
		w.check(path)
	}
}

// check calls back for the watches of the path that it does not satisfy.
func (w *Watcher) check(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.paths[path]) == 0 {
		return
	}
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	for watch := range w.paths[path] {
		if why := watch.satisfied(st, err); why != nil {
			w.removeLocked(watch)
			watch.gone(why)
		}
	}
}

// satisfied reports why the outcome of a stat is not that of the namespace.
func (w *Watch) satisfied(st unix.Stat_t, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("network namespace %s: %w: %w", w.path, netns.ErrGone, err)
	case st.Ino != w.ino, w.dev != 0 && st.Dev != w.dev:
		return fmt.Errorf("network namespace %s: %w: the path leads to something else now", w.path, netns.ErrGone)
	default:
		return nil
	}
}

// watchable gives the folder whose inotify events tell about the path; procfs
// has none.
func watchable(path string) (string, bool) {
	return filepath.Dir(path), !strings.HasPrefix(path, "/proc/")
}
