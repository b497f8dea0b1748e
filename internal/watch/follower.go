// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/polynic/polynic/internal/manifest"
)

// openInterval is how often files are looked at that were found open for
// writing. Their closing is an event of its own; this is for one that happened
// just before the folder was watched.
const openInterval = time.Second

// follower is one run of a Dir: it follows the files of the folder.
type follower struct {
	dir    *Dir
	notify *inotify
	ledger contents
	files  map[string]state
	open   map[string]bool // files that were found open for writing
	absent bool            // the folder, as was logged
	synced bool
}

// contents takes what the files of a folder declare.
type contents interface {
	// set replaces what a file declares; flush tells of it.
	set(file string, documents []manifest.Document)
	flush()
	// synced is said once, when every file has been set and flushed.
	synced()
}

// state is what is known of a file.
type state struct {
	// sum is that of the content read last, good or bad.
	sum [sha256.Size]byte
	// refusal is the error that was logged last, where there was no content.
	refusal string
}

func (f *follower) run(ctx context.Context) error {
	told := news{relist: true}
	for {
		if told.relist || slices.ContainsFunc(told.changes, change.isSwap) {
			if err := f.list(); err != nil {
				return err
			}
		} else {
			for _, c := range told.changes {
				f.refresh(c)
			}
			f.ledger.flush()
		}
		var deadline time.Time
		if len(f.open) > 0 {
			deadline = time.Now().Add(openInterval)
		}
		var err error
		if told, err = f.notify.next(ctx, deadline); err != nil {
			return err
		}
		for file := range f.open {
			told.changes = append(told.changes, change{file: file})
		}
	}
}

// isSwap reports whether a change is of a symbolic link that the files lead
// through, which is how Kubernetes updates volumes ("..data").
func (c change) isSwap() bool { return strings.HasPrefix(c.file, "..") }

// list reads the whole folder. The watch is there before, so that nothing that
// happens meanwhile is missed.
func (f *follower) list() error {
	exists, err := f.notify.watch(f.dir.path)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(f.dir.path)
	if err != nil && !isMissing(err) {
		return err
	}
	if exists == f.absent {
		f.absent = !exists
		f.logPresence()
	}
	for file := range f.files {
		if _, there := slices.BinarySearchFunc(entries, file, compareName); !there {
			f.forget(file)
		}
	}
	for _, entry := range entries {
		f.refresh(change{file: entry.Name()})
	}
	f.ledger.flush()
	if exists && err == nil && !f.synced {
		f.synced = true
		f.ledger.synced()
	}
	return nil
}

func compareName(e os.DirEntry, name string) int { return strings.Compare(e.Name(), name) }

func (f *follower) logPresence() {
	if f.absent {
		f.dir.log.Warn("the folder of manifests does not exist; waiting for it", slog.String("folder", f.dir.path))
		return
	}
	f.dir.log.Info("the folder of manifests is there", slog.String("folder", f.dir.path))
}

// refresh reads a file again.
func (f *follower) refresh(c change) {
	if !isManifest(c.file) {
		return
	}
	read := readFile
	if c.closed {
		read = readClosed
	}
	path := filepath.Join(f.dir.path, c.file)
	data, err := read(path)
	delete(f.open, c.file)
	switch known := f.files[c.file]; {
	case err == nil:
		f.take(c.file, path, data)
	case errors.Is(err, fs.ErrNotExist):
		f.forget(c.file)
	case errors.Is(err, errBeingWritten):
		f.open[c.file] = true
	case known.refusal != err.Error():
		known.refusal = err.Error()
		f.files[c.file] = known
		f.refuse(path, err)
	}
}

// take takes over what a file contains, if that is good.
func (f *follower) take(file, path string, data []byte) {
	now := state{sum: sha256.Sum256(data)}
	if known, seen := f.files[file]; seen && known == now {
		return
	}
	f.files[file] = now
	documents, err := manifest.Read(bytes.NewReader(data), path)
	if err != nil {
		f.refuse(path, err)
		return
	}
	for _, document := range documents {
		for _, warning := range document.Warnings {
			f.dir.log.Warn("a manifest is not what it seems", slog.String("warning", warning))
		}
	}
	f.ledger.set(file, documents)
}

func (f *follower) forget(file string) {
	delete(f.files, file)
	f.ledger.set(file, nil)
}

func (f *follower) refuse(path string, err error) {
	f.dir.log.Warn("a manifest cannot be read; what was read of it before stays",
		slog.String("file", path), slog.Any("error", err))
}
