// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"io/fs"
	"os"
)

// file is an open journal file, to which records are appended.
type file struct {
	out *os.File
	// end is where the last whole record ends, in bytes; torn says that it may
	// be followed by bytes of a write that did not succeed.
	end  int64
	torn bool
	seq  uint64 // of the next record
}

// create writes a new file that holds the header and what is live, and has it on the disk when it returns. Where that does not succeed no file is
// left, because a disk that is full needs the space.
func create(path string, h header, live live) (*file, error) {
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, cause(err)
	}
	f := &file{out: out}
	if err := f.fill(h, live); err != nil {
		out.Close()
		os.Remove(path)
		return nil, cause(err)
	}
	return f, nil
}

func (f *file) fill(h header, live live) error {
	if err := f.append(record{Op: opHeader, Header: &h}); err != nil {
		return err
	}
	for r := range live.records() {
		if err := f.append(r); err != nil {
			return err
		}
	}
	return f.out.Sync()
}

// append writes one record with one write(2). What a failed write left is cut
// off at once, or, where that fails as well, before the next record.
func (f *file) append(r record) error {
	r.Seq = f.seq
	line, err := encode(r)
	if err != nil {
		return err
	}
	if f.torn {
		if err := f.out.Truncate(f.end); err != nil {
			return cause(err)
		}
		f.torn = false
	}
	if _, err := f.out.Write(line); err != nil {
		f.torn = f.out.Truncate(f.end) != nil
		return cause(err)
	}
	f.end += int64(len(line))
	f.seq++
	return nil
}

func (f *file) close() error { return f.out.Close() }

// cause strips the path, which may be that of a file renamed since.
func cause(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
