// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

import "testing"

func TestDigest(t *testing.T) {
	if (DigestOf("") != Digest{}) || (DigestOf("a") == Digest{}) || DigestOf("a") == DigestOf("b") || DigestOf("a") != DigestOf("a"[:1]) {
		t.Error("texts have one digest if they are equal, and none if they are empty")
	}
}
