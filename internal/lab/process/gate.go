// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// gateFD is the descriptor on which a gated process waits to be let go: the
// first of exec.Cmd's ExtraFiles.
const gateFD = 3

// StartGated starts the command, which must call WaitGate before anything
// else, identifies it, calls record, and lets it go. When the caller dies in
// between, or record fails, the process ends without having done anything: so
// everything that runs is on record.
func StartGated(command *exec.Cmd, record func(ID) error) error {
	wait, open, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", command.Path, err)
	}
	defer open.Close()
	command.ExtraFiles = append([]*os.File{wait}, command.ExtraFiles...)
	err = command.Start()
	wait.Close()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	id, err := Of(command.Process.Pid)
	if err == nil {
		err = record(id)
	}
	if err == nil {
		_, err = open.Write([]byte{1})
	}
	if err != nil {
		open.Close() // the process sees the end of the pipe, and ends
		_ = command.Wait()
		return fmt.Errorf("start %s: %w", command.Path, err)
	}
	return nil
}

// ErrNotLetGo is what WaitGate returns when whoever started the process is
// gone; the process then ends at once.
var ErrNotLetGo = errors.New("whoever started this process is gone")

// WaitGate waits until StartGated lets the calling process go.
func WaitGate() error {
	gate := os.NewFile(gateFD, "gate")
	defer gate.Close()
	var token [1]byte
	if _, err := io.ReadFull(gate, token[:]); err != nil {
		return ErrNotLetGo
	}
	return nil
}

// Become waits at the gate and then turns the calling process into another
// program, keeping its identity. It returns only on failure.
func Become(argv []string) error {
	if err := WaitGate(); err != nil {
		return err
	}
	unix.CloseOnExec(gateFD)
	if err := syscall.Exec(argv[0], argv, os.Environ()); err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}
