// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/model"
)

// Open reads the journal at path, which is made, with its folder, where it is
// missing (mode 0600 and 0700), and gives the attachments in the order in which
// they were first put; Allocations gives the rest. The folder is locked until Close; a second Open of it
// fails with ErrInUse. A disk that can be read and not written is no error
// here: each Put will say so.
func Open(path string, opts Options) (*Journal, []model.Attachment, error) {
	if opts.Node == "" || opts.BootID == "" {
		return nil, nil, fmt.Errorf("journal %s: the node's name and the boot id are needed", path)
	}
	dir, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, nil, fmt.Errorf("journal %s: %w", path, err)
	}
	j := &Journal{path: path, opts: opts, dir: dir, live: newLive()}
	attachments, err := j.load()
	if err != nil {
		dir.Close()
		return nil, nil, fmt.Errorf("journal %s: %w", path, err)
	}
	log := opts.Log.With(slog.String("journal", path))
	j.report.log(log)
	if err := j.rewrite(); err != nil {
		log.Warn("journal cannot be written for now", slog.Any("error", err))
	}
	return j, attachments, nil
}

// load reads the file, and sets it aside where it is of no use.
func (j *Journal) load() ([]model.Attachment, error) {
	in, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND, 0)
	writable := err == nil
	if errors.Is(err, unix.EROFS) {
		in, err = os.Open(j.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cause(err)
	}
	c, err := replay(in, j.opts.Node)
	switch {
	case errors.Is(err, errUnusable):
		in.Close()
		j.report.Reason = err
		j.report.SetAside, err = setAside(j.path)
		return nil, err
	case err != nil:
		in.Close()
		return nil, cause(err)
	}
	j.report.Lost, j.report.Torn = c.lost, c.torn
	j.allocations = listed(c.live.allocations, c.allocations)
	if c.boot != j.opts.BootID {
		j.report.Rebooted = len(c.attachments)
		j.live.allocations = c.live.allocations
		return nil, in.Close()
	}
	j.live = c.live
	attachments := listed(c.live.attachments, c.attachments)
	c.reveal(attachments)
	if !writable {
		return attachments, in.Close()
	}
	// Good for the next record, should there be no room for a new file.
	j.file = &file{out: in, end: c.end, torn: true, seq: c.seq}
	return attachments, nil
}

// lockDir makes the folder and locks it. The lock goes with the process.
func lockDir(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := lock(dir); err != nil {
		dir.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock of folder %s: %w", path, err)
	}
	return dir, nil
}

// handover is how long the lock is waited for. Of an agent that was killed a
// child may still hold it that has just been forked, for an nft.
const handover = 500 * time.Millisecond

func lock(dir *os.File) error {
	tick, end := time.NewTicker(5*time.Millisecond), time.NewTimer(handover)
	defer tick.Stop()
	defer end.Stop()
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return err
		}
	}
}
