// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package openfiles_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/openfiles"
)

func TestExplain(t *testing.T) {
	other := errors.New("other")
	for _, err := range []error{nil, other, fmt.Errorf("open: %w", unix.ENOENT)} {
		if got := openfiles.Explain("polynic-agent", err); fmt.Sprint(got) != fmt.Sprint(err) || errors.Is(got, openfiles.ErrLimit) {
			t.Errorf("%v became %v", err, got)
		}
	}
	for want, err := range map[string]error{
		`^open /a: too many open files: the limit of open files is reached: polynic-agent may have \d+ \(RLIMIT_NOFILE\)$`: &os.PathError{Op: "open", Path: "/a", Err: unix.EMFILE},
		`too many open files in system: the limit of open files is reached: the machine's fs.file-max$`:                    fmt.Errorf("socket: %w", unix.ENFILE),
	} {
		got := openfiles.Explain("polynic-agent", err)
		if !errors.Is(got, openfiles.ErrLimit) || !errors.Is(got, err) || !regexp.MustCompile(want).MatchString(got.Error()) {
			t.Errorf("%v became %q, want %s", err, got, want)
		}
		if again := openfiles.Explain("polynic-relay", got); again.Error() != got.Error() {
			t.Errorf("explained twice: %v", again)
		}
	}
}
