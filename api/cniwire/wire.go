// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

import (
	"errors"
	"io"
	"slices"
)

// Version is the version of the protocol. A message, numbers big endian:
//
//	magic    4 bytes, "pncq" in a request and "pncr" in a reply
//	version  2 bytes
//	length   4 bytes, of the body
//	body     request: the fields of Request in their order, each as 4 bytes of
//	         length and the bytes; reply: 1 byte of exit status, then stdout
//
// The header is the same in every version; the body belongs to the version,
// which goes up with each change of it. Everybody writes its own version and
// reads no other: an agent answers a request of another version with a reply
// of its own, and the CNI binary that finds a foreign version in a reply's
// header turns the VersionError into a CNI error with code 11. So neither
// side ever guesses, and both kinds of upgrade end in a retry.
const Version = 1

// Bounds in bytes.
const (
	MaxText   = 8 << 10 // each field of a request but stdin
	MaxStdin  = 1 << 20
	MaxStdout = 1 << 20
)

const (
	requestMagic = "pncq"
	replyMagic   = "pncr"
	headerLen    = 10

	texts          = 6
	maxRequestBody = texts*(4+MaxText) + 4 + MaxStdin
	maxReplyBody   = 1 + MaxStdout
)

// Request is what the container runtime gave the CNI binary: its environment
// and its standard input.
type Request struct {
	Command     string // CNI_COMMAND
	ContainerID string // CNI_CONTAINERID
	Netns       string // CNI_NETNS
	IfName      string // CNI_IFNAME
	Args        string // CNI_ARGS
	Path        string // CNI_PATH
	Stdin       []byte // the network configuration, unchanged
}

// Reply is what the CNI binary does with it: print Stdout, exit with Status.
type Reply struct {
	Status uint8
	Stdout []byte
}

// Variables names the environment variables of a request in the order of its
// fields.
func Variables() [texts]string {
	return [texts]string{"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"}
}

// Texts points at the fields of a request in the order of Variables.
func (r *Request) Texts() [texts]*string {
	return [texts]*string{&r.Command, &r.ContainerID, &r.Netns, &r.IfName, &r.Args, &r.Path}
}

// AppendRequest encodes r. A field beyond its bound is a *BoundError.
func AppendRequest(dst []byte, r Request) ([]byte, error) {
	size := 4 + len(r.Stdin)
	for i, text := range r.Texts() {
		if len(*text) > MaxText {
			return dst, &BoundError{Field: Variables()[i], Max: MaxText}
		}
		size += 4 + len(*text)
	}
	if len(r.Stdin) > MaxStdin {
		return dst, &BoundError{Field: "standard input", Max: MaxStdin}
	}
	dst = appendHeader(slices.Grow(dst, headerLen+size), requestMagic, size)
	for _, text := range r.Texts() {
		dst = append(appendUint32(dst, len(*text)), *text...)
	}
	return append(appendUint32(dst, len(r.Stdin)), r.Stdin...), nil
}

// AppendReply encodes r. A Stdout beyond its bound is a *BoundError.
func AppendReply(dst []byte, r Reply) ([]byte, error) {
	if len(r.Stdout) > MaxStdout {
		return dst, &BoundError{Field: "standard output", Max: MaxStdout}
	}
	size := 1 + len(r.Stdout)
	dst = appendHeader(slices.Grow(dst, headerLen+size), replyMagic, size)
	return append(append(dst, r.Status), r.Stdout...), nil
}

// ReadRequest reads one request and nothing behind it. The error is io.EOF
// where nothing came, io.ErrUnexpectedEOF where it broke off, a *VersionError,
// or wraps ErrMalformed.
func ReadRequest(from io.Reader) (Request, error) {
	var r Request
	body, err := readBody(from, requestMagic, maxRequestBody)
	if err != nil {
		return r, err
	}
	for _, text := range r.Texts() {
		var field []byte
		if field, body, err = cut(body, MaxText); err != nil {
			return Request{}, err
		}
		*text = string(field)
	}
	if r.Stdin, body, err = cut(body, MaxStdin); err != nil {
		return Request{}, err
	}
	if len(body) > 0 {
		return Request{}, ErrMalformed
	}
	return r, nil
}

// ReadReply reads one reply; the errors are those of ReadRequest.
func ReadReply(from io.Reader) (Reply, error) {
	body, err := readBody(from, replyMagic, maxReplyBody)
	if err != nil {
		return Reply{}, err
	}
	if len(body) == 0 {
		return Reply{}, ErrMalformed
	}
	return Reply{Status: body[0], Stdout: body[1:]}, nil
}

func readBody(from io.Reader, magic string, most int) ([]byte, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return nil, err
	}
	if string(header[:4]) != magic {
		return nil, ErrMalformed
	}
	if version := uint16(header[4])<<8 | uint16(header[5]); version != Version {
		return nil, &VersionError{Theirs: version}
	}
	size := uint32At(header[6:])
	if size > uint32(most) {
		return nil, ErrMalformed
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(from, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the header came
		}
		return nil, err
	}
	return body, nil
}

// cut takes one field off the front of a body.
func cut(body []byte, most int) (field, rest []byte, err error) {
	if len(body) < 4 {
		return nil, nil, ErrMalformed
	}
	size := uint32At(body)
	if body = body[4:]; size > uint32(most) || int(size) > len(body) {
		return nil, nil, ErrMalformed
	}
	return body[:size:size], body[size:], nil
}

func appendHeader(dst []byte, magic string, size int) []byte {
	dst = append(dst, magic...)
	dst = append(dst, Version>>8, Version&0xff)
	return appendUint32(dst, size)
}

// appendUint32 and uint32At stand for encoding/binary, which brings package
// reflect into the CNI binary.
func appendUint32(dst []byte, n int) []byte {
	return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func uint32At(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
