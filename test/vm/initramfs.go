// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules are what the kernel needs for this machine's files, and for networks; those
// that they depend on come before them.
func modules() []string {
	return []string{
		"virtio_pci", "9pnet_virtio", "9p",
		"tun", "vhost_net", "veth", "bridge", "dummy", "vxlan", "vrf", "8021q",
		"crc32c_generic", "nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_fib_inet", "nft_fwd_netdev", "nft_redir", "nft_limit", "nft_reject_inet",
	}
}

// root is where the machine has this one's files before they are its own.
const root = "/root"

// jobDir has the program and the script that runs it, once the files are its own.
const jobDir = "/run/job/"

// initramfs is what the machine starts with: busybox, modules, and the job.
func (j Job) initramfs() ([]byte, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: busybox-static has it", err)
	}
	var a archive
	for _, dir := range []string{"/bin", "/dev", "/job", "/modules", root} {
		a.add(dir, fs.ModeDir|0o755, nil)
	}
	for name, path := range map[string]string{"/bin/busybox": busybox, "/job/" + filepath.Base(j.Program): j.Program} {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		a.add(name, 0o755, data)
	}
	loaded, err := j.Kernel.addModules(&a)
	if err != nil {
		return nil, err
	}
	a.add("/init", 0o755, []byte(initScript(loaded)))
	a.add("/job/job", 0o755, []byte(j.script()))
	return a.finish(), nil
}

// initScript is the first process of the machine.
func initScript(modules []string) string {
	return strings.NewReplacer("MODULES", strings.Join(modules, " "), "ROOT", root, "BEGIN", begin, "END", end, "JOB", jobDir+"job").Replace(`#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in MODULES; do $b insmod /modules/$module.ko || echo "no $module"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root ROOT
$b mount -t tmpfs -o mode=1777 tmp ROOT/tmp
$b mount -t tmpfs -o mode=755 run ROOT/run
$b mount -t proc proc ROOT/proc
$b mount -t sysfs sys ROOT/sys
$b mount -t devtmpfs dev ROOT/dev
$b mkdir -p ROOT/dev/shm ROOT/dev/pts ROOT/run/netns
$b mount -t tmpfs shm ROOT/dev/shm
$b mount -t devpts pts ROOT/dev/pts
$b ip link set lo up
$b cp -r /job ROOT/run/
echo BEGIN
$b chroot ROOT /bin/sh JOB </dev/null 2>&1
echo "END$?"
$b poweroff -f
`)
}

// script runs the job.
func (j Job) script() string {
	var s strings.Builder
	fmt.Fprintf(&s, "cd %s || exit 125\nexec /usr/bin/env -i", quote(j.Dir))
	for _, word := range j.Env {
		s.WriteString(" " + quote(word))
	}
	s.WriteString(" " + quote(jobDir+filepath.Base(j.Program)))
	for _, word := range j.Args {
		s.WriteString(" " + quote(word))
	}
	return s.String() + "\n"
}

// quote makes one word of a shell's.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// addModules adds modules and those that they depend on, and gives their names in
// the order to load them in.
func (k Kernel) addModules(a *archive) ([]string, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(k.Modules, func(path string, _ fs.DirEntry, err error) error {
		if name, isModule := strings.CutSuffix(filepath.Base(path), ".ko"); isModule {
			paths[plain(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var order []string
	added := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		path, isModule := paths[plain(name)]
		if added[name] || !isModule { // or the kernel has it built in
			return nil
		}
		added[name] = true
		depends, err := dependencies(path)
		if err != nil {
			return err
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		data, err := os.ReadFile(path)
		a.add("/modules/"+name+".ko", 0o644, data)
		order = append(order, name)
		return err
	}
	for _, name := range modules() {
		if err := add(plain(name)); err != nil {
			return nil, fmt.Errorf("module %s: %w", name, err)
		}
	}
	return order, nil
}

// plain is how modules are named in each other's lists.
func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }

// dependencies are what a module says in its section .modinfo.
func dependencies(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		return nil, nil
	}
	data, err := section.Data()
	for line := range bytes.SplitSeq(data, []byte{0}) {
		if list, ok := strings.CutPrefix(string(line), "depends="); ok && list != "" {
			return strings.Split(plain(list), ","), nil
		}
	}
	return nil, err
}
