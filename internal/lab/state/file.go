// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Write puts the value into the file as JSON, readable by root alone. A reader
// sees the old content or the new one, but for a full disk, where the file is
// written in its place if it has room. It is not synced to the disk: after a
// crash of the machine nothing that the folder tells of exists any more.
func Write(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return WriteBytes(path, append(data, '\n'))
}

// WriteBytes is Write for JSON that is there already. The file it writes
// first begins with a dot, so that whoever watches the folder can tell.
func WriteBytes(path string, data []byte) error {
	err := replace(path, data)
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	if overErr := writeOver(path, data); overErr != nil {
		return fmt.Errorf("%s cannot be written: its disk is full; make room there: %w", path, errors.Join(overErr, err))
	}
	return nil
}

func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// writeOver puts JSON into the blocks that a file has already; the rest of them
// is filled with white space. It fails before anything is lost.
func writeOver(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := file.Stat()
	if err == nil {
		rest := int64(len(data)) - st.Size()
		if rest > 0 {
			_, err = file.WriteAt(bytes.Repeat([]byte("\n"), int(rest)), st.Size())
		} else {
			data = append(slices.Clip(data), bytes.Repeat([]byte("\n"), int(-rest))...)
		}
	}
	if err == nil {
		_, err = file.WriteAt(data, 0)
	}
	return errors.Join(err, file.Close())
}

// Read reads what Write wrote; the error wraps os.ErrNotExist where there is
// nothing.
func Read(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ReadAll reads one file that Write wrote from every entry of a folder, in the
// order of the entries' names: the entry itself, or the file of the given name
// in it. A missing folder holds none.
func ReadAll[T any](folder, name string) ([]T, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	values := make([]T, 0, len(entries))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // being written
		}
		var value T
		switch err := Read(filepath.Join(folder, entry.Name(), name), &value); {
		case errors.Is(err, os.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, err
		default:
			values = append(values, value)
		}
	}
	return values, nil
}
