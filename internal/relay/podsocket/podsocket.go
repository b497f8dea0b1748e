// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package podsocket makes listening sockets in a folder that a pod can write to.
// Nothing there is trusted: neither symbolic links nor anything else that the
// pod puts in the way leads out of the folder.
package podsocket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/failpoint"
)

// beneath is how files below the folder are opened (openat2(2)).
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// temporary ends the name of a socket until it takes its place.
const temporary = ".new"

// mode lets applications connect whatever user they run as: who can reach the
// folder is the business of its permissions and of the pod's mounts.
const mode = 0o666

// Socket is a socket's file in a folder.
type Socket struct {
	folder *os.File // O_PATH
	name   string
	path   string // for messages
	st     unix.Stat_t
}

// ErrGone means that the socket's file is not there any more, or that another
// file is in its place.
var ErrGone = errors.New("the socket's file is gone")

// Listen makes a socket (unixpacket) of that name, a plain one, in a folder that
// exists, and puts it in the place of whatever has the name, folders excepted.
// Closing the listener leaves the file, closing the Socket too.
func Listen(folder, name string) (*Socket, *net.UnixListener, error) {
	s := &Socket{name: name, path: filepath.Join(folder, name)}
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("folder %s: %w", folder, err)
	}
	s.folder = os.NewFile(uintptr(fd), folder)
	listener, err := s.listen()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("socket %s: %w", s.path, err), s.folder.Close())
	}
	return s, listener, nil
}

// listen makes the socket under another name first, so that whoever finds it at
// its place can connect.
func (s *Socket) listen() (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make: %w", err)
	}
	file := os.NewFile(uintptr(fd), s.path)
	defer file.Close()
	name := "." + s.name + temporary
	if s.unlink(name) != nil { // a folder of the pod's has it
		name = "." + s.name + "." + rand.Text()[:8] + temporary
	}
	// The last part of the path is not followed if it is a link (EADDRINUSE).
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: procPath(s.folder) + "/" + name}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	failpoint.Hit("worker-socket-bound")
	if err := s.settle(fd, name); err != nil {
		return nil, errors.Join(err, s.unlink(name))
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener.(*net.UnixListener), nil
}

// settle opens the socket to all users, and to clients, and gives it its name.
func (s *Socket) settle(fd int, name string) error {
	made, err := s.open(name)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := unix.Fstat(int(made.Fd()), &s.st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if s.st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return ErrGone // the pod was faster
	}
	// By its path in /proc this is the file that was just looked at.
	if err := unix.Chmod(procPath(made), mode); err != nil {
		return fmt.Errorf("permissions: %w", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := unix.Renameat(int(s.folder.Fd()), name, int(s.folder.Fd()), s.name); err != nil {
		return fmt.Errorf("rename into place: %w", err)
	}
	failpoint.Hit("worker-socket-named")
	return nil
}

// open opens a file of the folder without following any link.
func (s *Socket) open(name string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath}
	fd, err := unix.Openat2(int(s.folder.Fd()), name, &how)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return os.NewFile(uintptr(fd), s.path), nil
}

// unlink removes a name; links are not followed.
func (s *Socket) unlink(name string) error {
	if err := unix.Unlinkat(int(s.folder.Fd()), name, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what was there: %w", err)
	}
	return nil
}

// Check reports whether the socket is still where clients look for it; the error
// wraps ErrGone if it is not.
func (s *Socket) Check() error {
	file, err := s.open(s.name)
	if err != nil {
		return fmt.Errorf("socket %s: %w: %w", s.path, ErrGone, err)
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return fmt.Errorf("socket %s: %w", s.path, err)
	}
	if st.Ino != s.st.Ino || st.Dev != s.st.Dev {
		return fmt.Errorf("socket %s: %w: another file has the name", s.path, ErrGone)
	}
	return nil
}

// Remove removes the socket's file, if it is still this socket's, and lets the
// folder go.
func (s *Socket) Remove() error {
	var err error
	if s.Check() == nil {
		err = s.unlink(s.name)
	}
	failpoint.Hit("worker-socket-removed")
	return errors.Join(err, s.Close())
}

// Close lets the folder go and leaves the file.
func (s *Socket) Close() error { return s.folder.Close() }

func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
