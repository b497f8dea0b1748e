// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model

// MaxSecretLen is the longest memif secret, in bytes, that DPDK, libmemif and
// VPP's API carry (their buffer of 24 with its final zero).
const MaxSecretLen = 23

// hidden is what is printed of a secret.
const hidden = "[secret]"

// Secret is the secret of a memif socket. However it is printed, also as a part
// of something else, its text is not shown; Reveal alone gives it.
type Secret struct {
	// A pointer, because fmt does not call methods on unexported fields of what
	// it prints, but does not follow pointers there either.
	text *string
}

// NewSecret makes a secret of its text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal gives the text; that of the zero value is empty.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both have the same text. It is for comparing what was
// kept with what is; a peer's guess is compared elsewhere, in constant time.
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

// String implements fmt.Stringer without the text.
func (Secret) String() string { return hidden }

// GoString implements fmt.GoStringer without the text.
func (Secret) GoString() string { return hidden }

// MarshalText implements encoding.TextMarshaler without the text.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
