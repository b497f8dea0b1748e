// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package allocation

import "crypto/rand"

// alphabet is that of Contiv-VPP: nothing that is mistaken for another sign, or
// makes a word.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

// textLen is the length of a folder's name and of a secret: 95 bits.
const textLen = 20

// randomText is a text that nobody can guess. Every sign is as likely as every
// other: bytes that would favour the first ones are thrown away.
func randomText() string {
	const fair = 256 - 256%len(alphabet)
	text := make([]byte, 0, textLen)
	var random [2 * textLen]byte
	for {
		_, _ = rand.Read(random[:]) // never fails (crypto/rand)
		for _, b := range random {
			if int(b) < fair {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
			if len(text) == textLen {
				return string(text)
			}
		}
	}
}
