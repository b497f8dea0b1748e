// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

import "crypto/sha256"

// Digest stands for a text that is compared and not kept, because others decide
// how long it is. That of no text is the zero value.
type Digest [sha256.Size]byte

// DigestOf is the text's SHA-256.
func DigestOf(text string) Digest {
	if text == "" {
		return Digest{}
	}
	return sha256.Sum256([]byte(text))
}
