// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif

import (
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/polynic/polynic/memif/internal/wire"
)

// Secret is what a slave must know to be connected, at most MaxSecret bytes.
// Neither package fmt nor the handlers of slog and the encoders that ask for
// MarshalText show it, alone or in a Config.
type Secret string

// shown is what there is to see of a secret.
func (s Secret) shown() string {
	if s == "" {
		return "none"
	}
	return "hidden"
}

// Format says, for every verb, whether there is a secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.shown()) }

// MarshalText says whether there is a secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

// field is the secret as it is sent, with zeros after its end.
func (s Secret) field() (b [wire.SecretLen]byte) {
	copy(b[:], s)
	return b
}

// is compares with what a slave sent, and takes the same time whatever that is.
func (s Secret) is(sent [wire.SecretLen]byte) bool {
	want := s.field()
	return subtle.ConstantTimeCompare(sent[:], want[:]) == 1
}
