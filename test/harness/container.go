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
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/memifdir"
)

// Container is what a container runtime gives a program that is not privileged,
// where the node's process and network namespaces are shared with it: a mount
// namespace that receives what is mounted outside, nothing to write to but
// volumes, and a few capabilities.
type Container struct {
	// Capabilities by their names in a pod's manifest, such as NET_ADMIN.
	Capabilities []string
	// Volumes are mount points that may be written to.
	Volumes []string
	// Sysctl is where the node's /proc/sys/net is mounted, writable; empty for
	// nowhere.
	Sysctl string
	// Role is another role of the test binary for the program, where that is the
	// test binary itself.
	Role string
}

// containerRole is the role of a process that becomes a container.
const containerRole = "container"

// RemoveFolderRole removes the memif folder at its argument.
const RemoveFolderRole = "remove-folder"

// containerEnv carries the Container to the process that becomes it.
const containerEnv = "POLYNIC_TEST_CONTAINER"

// Command is the program as the container's first process.
func (c Container) Command(program string, args ...string) (*exec.Cmd, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", append([]string{program}, args...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+containerRole, containerEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWNS}
	return cmd, nil
}

// becomeContainer is the role of the process that Command starts.
func becomeContainer() error {
	runtime.LockOSThread() // whose capabilities they are that the program begins without
	var c Container
	if err := json.Unmarshal([]byte(os.Getenv(containerEnv)), &c); err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	if err := errors.Join(os.Unsetenv(containerEnv), os.Setenv(roleEnv, c.Role)); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", os.Args[1], unix.Exec(os.Args[1], os.Args[1:], os.Environ()))
}

// enter leaves the process with what the container has. The capabilities that
// are taken from the bounding set are gone with the next exec.
func (c Container) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("receive mounts: %w", err)
	}
	if c.Sysctl != "" {
		if err := bind("/proc/sys/net", c.Sysctl); err != nil {
			return err
		}
	}
	if err := bind("/proc/sys", "/proc/sys"); err != nil {
		return err
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly); err != nil {
		return fmt.Errorf("make everything read-only: %w", err)
	}
	writable := append([]string{"/proc"}, c.Volumes...)
	if c.Sysctl != "" {
		writable = append(writable, c.Sysctl)
	}
	for _, path := range writable {
		if err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make %s writable: %w", path, err)
		}
	}
	if err := keep(c.Capabilities); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // allowPrivilegeEscalation: false
}

func bind(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

// capabilities are those that a manifest of ours may name (capabilities(7)).
//
//nolint:gochecknoglobals // a table
var capabilities = map[string]uintptr{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "FOWNER": unix.CAP_FOWNER,
	"NET_ADMIN": unix.CAP_NET_ADMIN, "NET_BROADCAST": unix.CAP_NET_BROADCAST, "SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"SYS_CHROOT": unix.CAP_SYS_CHROOT, "SYS_PTRACE": unix.CAP_SYS_PTRACE,
}

// keep takes every other capability from the bounding set.
func keep(names []string) error {
	kept := map[uintptr]bool{}
	for _, name := range names {
		number, ok := capabilities[name]
		if !ok {
			return fmt.Errorf("capability %s is not known here", name)
		}
		kept[number] = true
	}
	for number := uintptr(0); number <= unix.CAP_LAST_CAP; number++ {
		if kept[number] {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // one that this kernel does not have
			return fmt.Errorf("drop capability %d: %w", number, err)
		}
	}
	return nil
}

// Contain has agent and relay run in containers with these capabilities from now
// on: the node's folder is a volume of both, and what they pin goes into the
// test's mount namespace.
func (n *Node) Contain(agent, relay []string) {
	n.TB.Helper()
	sysctl := filepath.Join(n.Dir, "sysctl")
	if n.containers == nil {
		n.share(n.Dir)
		n.share("/run/netns")
		n.Config.SysctlDir = sysctl
		n.Config.MountNamespace = fmt.Sprintf("/proc/%d/ns/mnt", os.Getpid())
		n.WriteConfig()
	}
	n.containers = map[string]*Container{
		Bin("polynic-agent"): {Capabilities: agent, Volumes: []string{n.Dir}, Sysctl: filepath.Join(sysctl, "net")},
		Bin("polynic-relay"): {Capabilities: relay, Volumes: []string{n.Dir}},
	}
}

// share makes a folder a mount of which containers receive what is mounted
// below, as a node's /run is.
func (n *Node) share(path string) {
	n.TB.Helper()
	if err := bind(path, path); err != nil {
		n.TB.Fatal(err)
	}
	n.TB.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			n.TB.Error(err)
		}
	})
	if err := unix.Mount("", path, "", unix.MS_SHARED, ""); err != nil {
		n.TB.Fatalf("share %s: %v", path, err)
	}
}

// command is the program, in its container where it has one.
func (p Program) command() (*exec.Cmd, error) {
	if p.Container != nil {
		return p.Container.Command(p.Path, p.Args...)
	}
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// removeFolder is the role of removing a memif folder as the agent does.
func removeFolder() error {
	folder := os.Args[1]
	return memifdir.Dir(filepath.Dir(folder)).Remove(context.Background(), filepath.Base(folder))
}
