// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/polynic/polynic/internal/model"
)

// version is that of the format; a file of any other one is set aside. Reading
// an older one begins here, once there is an older one.
const version = 1

// The longest attachment or allocation, as text, and the longest line that is
// read, in bytes. An attachment with 1,500 interfaces fits.
const (
	maxText = 256 << 10
	maxLine = maxText + 1<<10
)

type op string

const (
	opHeader op = "header"
	opPut    op = "put"
	opDelete op = "delete"

	opAllocate op = "allocate"
	opFree     op = "free"
)

// record is one line of the file: the CRC-32C of the JSON text in hexadecimal,
// a space, the JSON text, a newline.
type record struct {
	Op op `json:"op"`
	// Seq counts the records of one file, from the header's 0, without a gap.
	Seq    uint64  `json:"seq"`
	Header *header `json:"header,omitempty"`
	// Attachment is that of a put, as text, so that it can be kept and written
	// again without the caller's slices.
	Attachment json.RawMessage     `json:"attachment,omitempty"`
	ID         *model.AttachmentID `json:"id,omitempty"`
	// Allocation is that of an allocate, as text like Attachment, and Freed the
	// id of that of a free.
	Allocation json.RawMessage `json:"allocation,omitempty"`
	Freed      string          `json:"freed,omitempty"`
}

// header is the first record of a file.
type header struct {
	Version int    `json:"version"`
	Node    string `json:"node"`
	Boot    string `json:"boot"`
}

const sumLen = 8

func encode(r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(make([]byte, 0, sumLen+len(text)+2), "%s %s\n", checksum(text), text), nil
}

// decode reads a line without its newline.
func decode(line []byte) (record, error) {
	var r record
	if len(line) <= sumLen || line[sumLen] != ' ' {
		return r, errors.New("no checksum")
	}
	text := line[sumLen+1:]
	if checksum(text) != string(line[:sumLen]) {
		return r, errors.New("its checksum does not match")
	}
	return r, json.Unmarshal(text, &r)
}

func checksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}
