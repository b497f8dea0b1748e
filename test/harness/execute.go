// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"
)

// executor executes plugins as libcni does by default, but for their standard
// input: that is a file, so that no plugin waits until a test that is busy with
// others gets round to writing it. polynic-cni waits less than a second.
type executor struct{ *invoke.DefaultExec }

// ExecPlugin implements invoke.Exec.
func (executor) ExecPlugin(ctx context.Context, plugin string, stdin []byte, environ []string) ([]byte, error) {
	return execute(ctx, plugin, stdin, environ)
}

// execute gives what a plugin prints. The error of one that fails is its answer, a
// *types.Error.
func execute(ctx context.Context, plugin string, stdin []byte, environ []string) ([]byte, error) {
	input, err := fileOf(stdin)
	if err != nil {
		return nil, err
	}
	defer input.Close()
	cmd := exec.CommandContext(ctx, plugin)
	cmd.Env, cmd.Stdin = environ, input
	out, err := cmd.Output()
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		return out, err
	}
	answer := &types.Error{}
	if err := json.Unmarshal(out, answer); err != nil {
		return nil, fmt.Errorf("%w: %q %q", failed, out, failed.Stderr)
	}
	return nil, answer
}

// fileOf is a file in memory, to be read from its beginning.
func fileOf(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "stdin")
	_, err = file.Write(content)
	if err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
