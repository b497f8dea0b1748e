// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package memif_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/test/isolate"
)

func TestMain(m *testing.M) {
	// Abstract sockets are those of the network namespace. A fuzzer's worker is in
	// its coordinator's, and talks to it by descriptors that it inherited.
	run := isolate.Main
	if slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz") }) {
		run = (*testing.M).Run
	}
	code := run(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
