// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// tombstones takes up the DELs that polynic-cni left in a folder because no
// agent answered.
type tombstones struct {
	dir      string
	attacher *attach.Attacher
	log      *slog.Logger
	watcher  *fsnotify.Watcher
}

func newTombstones(dir string, attacher *attach.Attacher, log *slog.Logger) (*tombstones, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tombstones: %w", err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("tombstones: %w", err)
	}
	if err := watcher.Add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("tombstones: %w", err), watcher.Close())
	}
	return &tombstones{dir: dir, attacher: attacher, log: log, watcher: watcher}, nil
}

// run takes up what comes, until ctx ends.
func (t *tombstones) run(ctx context.Context) error {
	for {
		select {
		case event, ok := <-t.watcher.Events:
			if !ok {
				return nil
			}
			if event.Has(fsnotify.Create) {
				t.take(ctx, filepath.Base(event.Name))
			}
		case err := <-t.watcher.Errors:
			t.log.WarnContext(ctx, "watching tombstones", slog.Any("error", err))
			t.takeAll(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// leaveTombstone does as polynic-cni does where no agent answers.
func leaveTombstone(dir string, t cniwire.Tombstone) error {
	content, err := cniwire.AppendTombstone(nil, t)
	if err != nil {
		return fmt.Errorf("tombstone: %w", err)
	}
	name := cniwire.TombstoneName(t.ContainerID, t.IfName)
	temporary := filepath.Join(dir, "."+name+".agent")
	err = os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(temporary, content, 0o600)
	}
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("tombstone: %w", err)
	}
	return nil
}

// takeAll takes up what is there.
func (t *tombstones) takeAll(ctx context.Context) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		t.log.WarnContext(ctx, "reading tombstones", slog.Any("error", err))
	}
	for _, e := range entries {
		t.take(ctx, e.Name())
	}
}

// take does one DEL and removes its file. A file that is no tombstone is
// removed too: polynic-cni renames whole files only.
func (t *tombstones) take(ctx context.Context, name string) {
	if strings.HasPrefix(name, ".") {
		return // still being written
	}
	path := filepath.Join(t.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.log.WarnContext(ctx, "reading a tombstone", slog.Any("error", err))
		return
	}
	grave, err := cniwire.ParseTombstone(data)
	if err != nil {
		t.log.WarnContext(ctx, "dropping a damaged tombstone", slog.String("file", path), slog.Any("error", err))
	} else if err := t.attacher.Tombstone(ctx, model.AttachmentID{ContainerID: grave.ContainerID, IfName: grave.IfName}); err != nil {
		t.log.WarnContext(ctx, "a tombstone is left for the next start", slog.Any("error", err))
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.log.WarnContext(ctx, "removing a tombstone", slog.Any("error", err))
	}
}

func (t *tombstones) close() {
	if err := t.watcher.Close(); err != nil {
		t.log.Warn("tombstones", slog.Any("error", err))
	}
}
