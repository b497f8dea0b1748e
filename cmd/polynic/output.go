// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// format is a flag -o with a few known words.
type format struct {
	value string
	known []string
}

func newFormat(known ...string) *format { return &format{known: known} }

func (f *format) flag(command *cobra.Command) {
	command.Flags().VarP(f, "output", "o", "output instead of a table: "+strings.Join(f.known, ", "))
}

// String implements pflag.Value.
func (f *format) String() string { return f.value }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(word string) error {
	if !slices.Contains(f.known, word) {
		return fmt.Errorf("want %s", strings.Join(f.known, " or "))
	}
	f.value = word
	return nil
}

// list is what the values print as, with commas between them; a dash for none.
func list[T fmt.Stringer](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return cmp.Or(strings.Join(words, ","), "-")
}
