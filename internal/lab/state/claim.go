// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// marker makes a folder a lab's. It is written first and removed last.
type marker struct {
	Version int `json:"polynicLab"`
	// Made is the topmost folder that had to be made for the state folder;
	// empty where it existed.
	Made string `json:"made,omitempty"`
}

const markerVersion = 1

// The entries of a state folder. Nothing else in it is ever removed.
func (d Dir) entries() []string {
	return []string{
		"lab.sock", "daemon.log", "settings.json", "processes", "netns", "cni", "pods", "configmaps", "nodes", "etcd", "lock",
	}
}

func (d Dir) marker() string { return d.join("lab.json") }

// Claim makes the folder a lab's, if it is not one already, and locks it. The
// folder may be missing or empty; one that holds anything but a lab is refused
// with ErrNotOurs, and one that somebody works on with ErrBusy. The lock is
// held as long as the file, or a copy of it in another process, is open.
func Claim(path string) (Dir, *os.File, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("state folder: %w", err)
	}
	d := Dir(absolute)
	if _, err := d.mark(); err != nil {
		return "", nil, err
	}
	lock, err := d.Lock()
	if err != nil {
		return "", nil, err
	}
	if _, err := d.readMarker(); err != nil { // removed before it was locked
		return "", nil, errors.Join(fmt.Errorf("state folder %s: %w", d, ErrBusy), lock.Close())
	}
	return d, lock, nil
}

// Open gives the lab in the folder; the error wraps ErrNoLab where there is
// none.
func Open(path string) (Dir, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	d := Dir(absolute)
	switch _, err := d.readMarker(); {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%w at %s; start one with `polynic lab up --state %s`", ErrNoLab, path, path)
	case err != nil:
		return "", err
	}
	return d, nil
}

// Lock keeps others from working on the lab; the error wraps ErrBusy where
// somebody does already.
func (d Dir) Lock() (*os.File, error) {
	file, err := os.OpenFile(d.join("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state folder %s: %w", d, err), file.Close())
	}
	return file, nil
}

// Remove removes what the lab made: its files, and the folder itself with
// those above it if they had to be made. What somebody else put there stays.
// The caller holds the lock.
func (d Dir) Remove() error {
	mark, err := d.readMarker()
	if err != nil {
		return err
	}
	for _, name := range d.entries() {
		if err := os.RemoveAll(d.join(name)); err != nil {
			return fmt.Errorf("state folder: %w", err)
		}
	}
	if err := os.Remove(d.marker()); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if mark.Made == "" {
		return nil
	}
	for folder := string(d); ; folder = filepath.Dir(folder) {
		err := os.Remove(folder)
		if errors.Is(err, unix.ENOTEMPTY) || err == nil && folder == mark.Made {
			return nil
		}
		if err != nil {
			return fmt.Errorf("state folder: %w", err)
		}
	}
}

// mark writes the marker unless it is there.
func (d Dir) mark() (marker, error) {
	mark, err := d.readMarker()
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return mark, err
	}
	mark = marker{Version: markerVersion, Made: firstMissing(string(d))}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return mark, fmt.Errorf("state folder: %w", err)
	}
	there, err := os.ReadDir(string(d))
	if err != nil {
		return mark, fmt.Errorf("state folder: %w", err)
	}
	for _, entry := range there {
		return mark, fmt.Errorf("state folder %s: %w (%s); choose an empty or a new one with --state",
			d, ErrNotOurs, entry.Name())
	}
	return mark, Write(d.marker(), mark)
}

func (d Dir) readMarker() (marker, error) {
	var mark marker
	if err := Read(d.marker(), &mark); err != nil {
		return mark, fmt.Errorf("state folder: %w", err)
	}
	if mark.Version != markerVersion {
		return mark, fmt.Errorf("state folder %s: %w: lab.json has version %d, want %d",
			d, ErrNotOurs, mark.Version, markerVersion)
	}
	return mark, nil
}

// firstMissing is the topmost part of the path that does not exist.
func firstMissing(path string) string {
	missing := ""
	for {
		if _, err := os.Lstat(path); err == nil || path == filepath.Dir(path) {
			return missing
		}
		missing, path = path, filepath.Dir(path)
	}
}
