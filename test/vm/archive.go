// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
)

// archive is what the kernel unpacks: cpio in its format "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	data  bytes.Buffer
	files int
}

// add adds a file, or a folder, whose folder was added before.
func (a *archive) add(path string, mode fs.FileMode, data []byte) {
	const folder, file = 0o040000, 0o100000
	kind := file
	if mode.IsDir() {
		kind = folder
	}
	a.entry(strings.TrimPrefix(path, "/"), kind|int(mode.Perm()), data)
}

func (a *archive) entry(name string, mode int, data []byte) {
	a.files++
	fmt.Fprintf(&a.data, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.files, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.data.WriteString(name + "\x00")
	a.pad()
	a.data.Write(data)
	a.pad()
}

func (a *archive) pad() {
	const word = 4
	a.data.Write(make([]byte, (word-a.data.Len()%word)%word))
}

func (a *archive) finish() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.data.Bytes()
}
