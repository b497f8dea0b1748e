// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// The cost of a Put does not depend on how many attachments there are. The
// rewriting of the file is part of it.
func BenchmarkPut(b *testing.B) {
	for _, live := range []int{10, 1000} {
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			j, _ := open(b, filepath.Join(b.TempDir(), "journal"))
			for n := range live {
				put(b, j, attachment(n))
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				put(b, j, attachment(n%live))
				n++
			}
		})
	}
}
