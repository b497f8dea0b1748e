// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package container

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
)

// reportFD is where Init tells what went wrong: Start's second extra file.
const reportFD = 4

// Init is the first process of a container: it builds what the command sees,
// and becomes the command. It returns only if that fails, or, in a container
// without a command, when it is told to end.
func Init(specFile string) error {
	if err := process.WaitGate(); err != nil {
		return err
	}
	unix.CloseOnExec(reportFD)
	report := os.NewFile(reportFD, "report")
	defer report.Close()
	err := initialize(specFile, report)
	if err != nil {
		_, _ = report.WriteString(err.Error()) // nobody else would listen
	}
	return err
}

func initialize(specFile string, report *os.File) error {
	var spec Spec
	if err := state.Read(specFile, &spec); err != nil {
		return err
	}
	unix.Umask(0o022)
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := spec.buildRoot(); err != nil {
		return err
	}
	if err := spec.enterWorkingDir(); err != nil {
		return err
	}
	if err := spec.User.become(); err != nil {
		return err
	}
	if len(spec.Command) == 0 {
		return pause(report)
	}
	program, err := lookPath(spec.Command[0], spec.Env)
	if err != nil {
		return err
	}
	if err := syscall.Exec(program, spec.Command, spec.Env); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// enterWorkingDir goes to the command's folder, and makes it as runtimes do.
func (s Spec) enterWorkingDir() error {
	if err := os.MkdirAll(s.WorkingDir, folderMode); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	if err := os.Chdir(s.WorkingDir); err != nil {
		return fmt.Errorf("working folder: %w", err)
	}
	return nil
}

func (u User) become() error {
	groups := make([]int, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(int(u.GID)); err != nil {
		return fmt.Errorf("set group %d: %w", u.GID, err)
	}
	if err := syscall.Setuid(int(u.UID)); err != nil {
		return fmt.Errorf("set user %d: %w", u.UID, err)
	}
	return nil
}

// lookPath finds a program along the PATH of the environment given, not along
// the caller's own.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	for folder := range strings.SplitSeq(path, ":") {
		program := cmp.Or(folder, ".") + "/" + name
		if st, err := os.Stat(program); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return program, nil
		}
	}
	return "", fmt.Errorf("%s: %w along the container's PATH (containers see this machine's files)", name, exec.ErrNotFound)
}

// pause waits for the order to end, and takes leave of the processes that were
// left to it, as the first of a pid namespace must.
func pause(report *os.File) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGCHLD)
	if err := report.Close(); err != nil {
		return err
	}
	for received := range signals {
		if received != unix.SIGCHLD {
			return nil
		}
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	return nil
}
