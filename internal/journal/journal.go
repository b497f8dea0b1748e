// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package journal is the durable record of a node's attachments: which sandbox
// has which addresses. It is what a restarted agent knows before it has asked
// anybody.
//
// The file is append-only, one checksummed record a line, and begins with a
// header that names the format, the node and the boot. It is rewritten without
// its dead records at every Open, and whenever it has doubled since, so the
// cost of a change does not depend, on average, on what is already there.
//
// Durability: Put and Delete return once write(2) took the record, so a process
// that is killed at any point loses nothing it was told is written. They do not
// fsync, which would cost every pod some 4 ms: only a crash of the whole machine
// loses what the kernel holds, and after one no sandbox is left for which the
// record could matter. Open sees that from the boot id, and drops every
// attachment. A record that must outlive a reboot would need an fsync of its
// own; there is none yet.
//
// Damage: a record that does not verify is skipped and those around it are
// kept; a file that as a whole is not this node's journal is set aside. Report
// says what was found. A disk that cannot be written fails the Put, changes
// nothing and needs no restart once it works again.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/polynic/polynic/internal/model"
)

// minRewrite is the least size, in bytes, at which a file is rewritten.
const minRewrite = 1 << 20

// Options are what a journal belongs to.
type Options struct {
	// Node is the node's name; another node's journal is not read.
	Node string
	// BootID tells one run of the kernel from the next
	// (/proc/sys/kernel/random/boot_id).
	BootID string
	Log    *slog.Logger
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	path   string
	opts   Options
	report Report

	mu   sync.Mutex
	dir  *os.File // held open for its lock and for fsync; nil once closed
	file *file    // nil as long as it could not be written
	live *index
	// rewriteAt is the size at which the file is rewritten next.
	rewriteAt int64
	// owed are the deletions that could not be written.
	owed []model.AttachmentID
}

// Report is what Open found.
func (j *Journal) Report() Report { return j.report }

// Put records the attachment, in place of one with the same id. When it returns
// an error the journal is as before, and the same call may succeed later.
func (j *Journal) Put(a model.Attachment) error {
	if a.ID.IsZero() {
		return fmt.Errorf("journal %s: an attachment without id", j.path)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("journal %s: attachment %s: %w", j.path, a.ID, err)
	}
	if len(text) > maxAttachment {
		return fmt.Errorf("journal %s: attachment %s: %d bytes, more than %d (ask for fewer interfaces)",
			j.path, a.ID, len(text), maxAttachment)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(record{Op: opPut, Attachment: text}); err != nil {
		return fmt.Errorf("journal %s: attachment %s: %w", j.path, a.ID, err)
	}
	j.live.put(a.ID, text)
	return nil
}

// Delete records that the attachment is gone; one that is not there is no
// error. When it returns an error the file still has the attachment, until the
// next record that can be written, before which the deletion is.
func (j *Journal) Delete(id model.AttachmentID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.live.has(id) {
		return nil
	}
	err := j.append(record{Op: opDelete, ID: &id})
	j.live.remove(id)
	if err != nil {
		j.owed = append(j.owed, id)
		return fmt.Errorf("journal %s: deletion of attachment %s: %w", j.path, id, err)
	}
	return nil
}

// Close unlocks the folder. What was put is written already.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dir == nil {
		return nil
	}
	err := j.dir.Close()
	if j.file != nil {
		err = errors.Join(j.file.close(), err)
	}
	j.dir, j.file = nil, nil
	return err
}

// append writes the record. It rewrites the file first where that is due, which
// fails the record only when there is no file to append to.
func (j *Journal) append(r record) error {
	if j.dir == nil {
		return os.ErrClosed
	}
	if j.file == nil || j.file.end >= j.rewriteAt {
		if err := j.rewrite(); err != nil {
			if j.file == nil {
				return err
			}
			j.rewriteAt = j.file.end + minRewrite
			j.opts.Log.Warn("journal cannot be rewritten, it grows on",
				slog.String("journal", j.path), slog.Any("error", err))
		}
	}
	for len(j.owed) > 0 {
		if err := j.file.append(record{Op: opDelete, ID: &j.owed[0]}); err != nil {
			return err
		}
		j.owed = j.owed[1:]
	}
	return j.file.append(r)
}

// rewrite replaces the file by one without dead records. At no point is there
// no whole file under the journal's name.
func (j *Journal) rewrite() error {
	next := j.path + ".new"
	fresh, err := create(next, header{Version: version, Node: j.opts.Node, Boot: j.opts.BootID}, j.live)
	if err != nil {
		return err
	}
	if err := os.Rename(next, j.path); err != nil {
		return errors.Join(cause(err), fresh.close(), os.Remove(next))
	}
	// From here on the new file is the journal, even if the folder's own
	// change does not reach the disk.
	if j.file != nil {
		j.file.close()
	}
	j.file = fresh
	j.rewriteAt = max(minRewrite, 2*fresh.end)
	j.owed = nil // the live ones are without them
	if err := j.dir.Sync(); err != nil {
		return cause(err)
	}
	return nil
}
