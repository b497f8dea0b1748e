// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/test/need"
)

// Somebody who is not root gets nothing, even where the socket's mode lets
// them in.
func TestOtherUsersAreHungUpOn(t *testing.T) {
	need.Root(t)
	var text bytes.Buffer
	verbs := &recorder.Recorder{}
	socket, stop := start(t, cniserver.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, verbs)
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	message, err := cniwire.AppendRequest(nil, addRequest("c1"))
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	failed := make(chan error, 1)
	go func() {
		n, err := asNobody(socket, message)
		answered <- n
		failed <- err
	}()
	if n, err := wait(t, "the other user", answered), <-failed; err != nil || n > 0 {
		t.Errorf("the other user got %d bytes, %v", n, err)
	}
	stop()
	if calls := verbs.Calls(); len(calls) > 0 {
		t.Errorf("the pod path was called: %+v", calls)
	}
	if !strings.Contains(text.String(), "user 65534") {
		t.Errorf("the log does not name the user: %s", text.String())
	}
}

// asNobody sends message as user 65534 and says how many bytes came back. Its
// thread ends with it, because it cannot become root again. The folder is
// opened first, since nobody may walk to it.
func asNobody(socket string, message []byte) (int, error) {
	runtime.LockOSThread()
	dir, err := unix.Open(filepath.Dir(socket), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	const nobody = 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		return 0, errno
	}
	path := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(socket)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, err
	}
	// Hung up on before or after it wrote, it gets one of these errors.
	if _, err := unix.Write(fd, message); err != nil && !errors.Is(err, unix.EPIPE) {
		return 0, err
	}
	n, err := unix.Read(fd, make([]byte, 1))
	if errors.Is(err, unix.ECONNRESET) {
		return 0, nil
	}
	return n, err
}
