// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package vm runs a program in a virtual machine with Debian's own kernel, for
// what this machine's kernel lacks: vhost-net above all. QEMU emulates its
// processors, so that it needs no KVM, and a processor's time instead.
//
// The machine sees this one's files, all of them and read-only, under the same
// paths, and has a /tmp, a /run and a network namespace of its own. It has no
// network to the outside.
package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Kernel is a kernel with its modules.
type Kernel struct {
	// Image is what is started.
	Image string
	// Modules is the folder that has them, such as /lib/modules/6.1.0-9-amd64.
	Modules string
}

// FindKernel looks in a folder that a kernel's package was unpacked into; / is this
// machine's own, and one that was installed on it. Of several it takes the last.
func FindKernel(folder string) (Kernel, error) {
	images, err := filepath.Glob(filepath.Join(folder, "boot", "vmlinuz-*"))
	if err != nil {
		return Kernel{}, err
	}
	for i := len(images) - 1; i >= 0; i-- {
		version := strings.TrimPrefix(filepath.Base(images[i]), "vmlinuz-")
		modules := filepath.Join(folder, "lib", "modules", version)
		if _, err := os.Stat(modules); err == nil {
			return Kernel{images[i], modules}, nil
		}
	}
	return Kernel{}, fmt.Errorf("no kernel with modules in %s: test/vm/setup gets one", folder)
}

// Job is what a machine is started for. The machine ends with it.
type Job struct {
	Kernel Kernel
	// Program is copied into the machine, so it may be in /tmp.
	Program string
	Args    []string
	// Env has all variables of the program, as NAME=VALUE.
	Env []string
	// Dir is where it runs.
	Dir string
	// Output takes what the program prints, and the kernel when it dies.
	Output io.Writer
}

// Run runs a job, as root, and gives its exit code. The context ends the machine.
func Run(ctx context.Context, j Job) (code int, err error) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return 0, fmt.Errorf("%w: test/vm/setup installs it", err)
	}
	initramfs, err := j.initramfs()
	if err != nil {
		return 0, err
	}
	file, err := os.CreateTemp("", "initramfs")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(initramfs)
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	return j.start(exec.CommandContext(ctx, qemu, j.arguments(file.Name())...))
}

func (j Job) arguments(initramfs string) []string {
	return []string{
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "2048",
		"-kernel", j.Kernel.Image, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 rdinit=/init",
		"-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
	}
}

// The lines between which a job's output is, on the machine's console.
const begin, end = "vm: begin", "vm: end "

// start follows a machine until it ends.
func (j Job) start(cmd *exec.Cmd) (code int, err error) {
	console, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	code, isEnded := j.follow(console)
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("qemu: %w: %s", err, complaints.Bytes())
	}
	if !isEnded {
		return 0, errors.New("the machine ended before the program did")
	}
	return code, nil
}

// follow hands on what a machine prints, but for what comes before the job's.
func (j Job) follow(console io.Reader) (code int, isEnded bool) {
	lines := bufio.NewReader(console)
	for hasBegun := false; ; {
		line, err := lines.ReadString('\n')
		text := strings.TrimRight(line, "\r\n")
		number, isEnd := strings.CutPrefix(text, end)
		switch {
		case hasBegun && isEnd:
			code, err := strconv.Atoi(number)
			_, _ = io.Copy(io.Discard, lines)
			return code, err == nil
		case hasBegun || strings.Contains(text, "Kernel panic"):
			fmt.Fprintln(j.Output, text)
		}
		hasBegun = hasBegun || strings.HasSuffix(text, begin)
		if err != nil {
			return 0, false
		}
	}
}
