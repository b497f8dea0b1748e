// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire

import (
	"slices"
	"strconv"
)

// Newest is the newest CNI specification version that polynic speaks.
const Newest = "1.1.0"

// unversioned is what a network configuration without cniVersion means
// (libcni, version.ConfigDecoder).
const unversioned = "0.1.0"

// SpecVersions lists the CNI specification versions that polynic speaks, which
// are all that libcni 1.3.0 does, oldest first.
func SpecVersions() []string {
	return []string{unversioned, "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", Newest}
}

// AnswerVersion is the version of the answer to a configuration that says
// asked: the same, 0.1.0 where it says none, and the newest where asked is not
// among SpecVersions.
func AnswerVersion(asked string) string {
	switch {
	case asked == "":
		return unversioned
	case slices.Contains(SpecVersions(), asked):
		return asked
	default:
		return Newest
	}
}

// AppendVersions appends the answer to VERSION (CNI spec 1.1, section
// "VERSION Success").
func AppendVersions(dst []byte, asked string) []byte {
	dst = append(dst, `{"cniVersion":"`...)
	dst = append(dst, AnswerVersion(asked)...)
	dst = append(dst, `","supportedVersions":[`...)
	for i, version := range SpecVersions() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, version)
	}
	return append(dst, "]}\n"...)
}

// AppendError appends a CNI error (CNI spec 1.1, section "Error"). Its msg is
// one sentence; there are no details, because runtimes print both on one line.
func AppendError(dst []byte, asked string, code Code, msg string) []byte {
	dst = append(dst, `{"cniVersion":"`...)
	dst = append(dst, AnswerVersion(asked)...)
	dst = append(dst, `","code":`...)
	dst = strconv.AppendUint(dst, uint64(code), 10)
	dst = append(dst, `,"msg":`...)
	dst = appendJSONString(dst, msg)
	return append(dst, `,"details":""}`+"\n"...)
}
