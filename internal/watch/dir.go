// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/polynic/polynic/internal/manifest"
	"github.com/polynic/polynic/internal/model"
)

// Dir takes pods from a folder of manifests (*.yaml, *.yml, *.json, not hidden),
// each with any number of pods. Subfolders are not read. Writers should rename
// a finished file into its place; one that is written in place is read once it
// is closed.
type Dir struct {
	path string
	log  *slog.Logger
}

// NewDir makes a source of the folder at an absolute path, which need not exist
// yet.
func NewDir(path string, log *slog.Logger) *Dir {
	return &Dir{path: filepath.Clean(path), log: log}
}

// Run tells sink of the folder's pods and of every change until the context
// ends, and then returns nil. A file that cannot be read is logged, once for
// each content, and the pods of its last good content stay. A folder that is
// removed has no pods; where it does not exist at the start, Synced waits until
// it does. The error, about the folder itself, is one that waiting does not
// heal.
func (d *Dir) Run(ctx context.Context, sink Sink) error {
	return d.follow(ctx, newLedger(sink, d.log))
}

// RunServices tells sink of the folder's services and of every change, until the
// context ends, and then returns nil. Their endpoints are made of the folder's pods
// as Kubernetes would make them, by what the pods' status says. What is wrong with
// files Run tells.
func (d *Dir) RunServices(ctx context.Context, sink ServiceSink, _ ServiceOptions) error {
	quiet := &Dir{path: d.path, log: slog.New(slog.DiscardHandler)}
	return quiet.follow(ctx, newServiceLedger(sink))
}

func (d *Dir) follow(ctx context.Context, into contents) error {
	notify, err := newInotify()
	if err != nil {
		return fmt.Errorf("pod source %s: %w", d.path, err)
	}
	f := &follower{dir: d, notify: notify, ledger: into, files: map[string]state{}, open: map[string]bool{}}
	err = f.run(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	if err = errors.Join(err, notify.close()); err != nil {
		return fmt.Errorf("pod source %s: %w", d.path, err)
	}
	return nil
}

// Get reads one pod from the folder as it is now; it reports whether it is
// there. A reference with a UID does not match a pod with another one. The
// error says why it cannot be told: the folder cannot be read, or a file that
// may hold the pod. It does not name the pod, which the caller knows. Safe for
// concurrent use, beside Run as well.
func (d *Dir) Get(ctx context.Context, ref model.PodRef) (model.Pod, bool, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return model.Pod{}, false, fmt.Errorf("folder of manifests: %w", err)
	}
	var unread error
	for _, entry := range entries {
		if !isManifest(entry.Name()) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return model.Pod{}, false, err
		}
		pod, found, err := d.getFrom(entry.Name(), ref)
		if found && ref.UID != "" && pod.Ref.UID != "" && ref.UID != pod.Ref.UID {
			return model.Pod{}, false, nil
		}
		if found {
			return pod, true, nil
		}
		unread = errors.Join(unread, err)
	}
	if unread != nil {
		return model.Pod{}, false, fmt.Errorf("it may be in a manifest that cannot be read: %w", unread)
	}
	return model.Pod{}, false, nil
}

func (d *Dir) getFrom(file string, ref model.PodRef) (model.Pod, bool, error) {
	path := filepath.Join(d.path, file)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return model.Pod{}, false, nil
	}
	if err != nil {
		return model.Pod{}, false, err
	}
	// Parsing is what takes time. Only an escape or a tag can hide the name of
	// a pod that is in the file.
	if !bytes.Contains(data, []byte(ref.Name)) && !bytes.ContainsAny(data, `\!`) {
		return model.Pod{}, false, nil
	}
	documents, err := manifest.Read(bytes.NewReader(data), path)
	if err != nil {
		return model.Pod{}, false, err
	}
	for _, document := range documents {
		if document.Pod != nil && document.Pod.Namespace == ref.Namespace && document.Pod.Name == ref.Name {
			pod := ModelPod(document.Pod)
			pod.OfFile = true
			return pod, true, nil
		}
	}
	return model.Pod{}, false, nil
}
