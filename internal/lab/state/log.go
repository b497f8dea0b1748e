// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"io"
	"os"
)

// LastLine is the last line of a log that says something, out of its last
// 4 KiB; empty where there is none.
func LastLine(path string) string {
	const tail = 4096
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil && st.Size() > tail {
		if _, err := file.Seek(-tail, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, tail))
	if err != nil {
		return ""
	}
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
