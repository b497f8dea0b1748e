// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package container runs a container's command as a process on this machine:
// in namespaces of its own and a pod's network namespace, over a copy-on-write
// view of the machine's files. Images are not pulled. It has three parts: Start,
// in the lab's daemon; Init, in the new process, which builds what the command
// sees and becomes it; and Exec, which runs another command beside it.
package container

import (
	"io/fs"
	"path/filepath"
)

// Spec is everything a container's process needs to know. It is kept in a file
// beside the container's log, because Exec needs it too.
type Spec struct {
	Name string `json:"name"`
	// Hostname is the pod's.
	Hostname string `json:"hostname"`
	// Command and its arguments; none makes a process that waits to be ended.
	Command []string `json:"command,omitempty"`
	// Env is the whole environment, as NAME=VALUE.
	Env []string `json:"env"`
	// WorkingDir is made if it is missing.
	WorkingDir string  `json:"workingDir"`
	User       User    `json:"user"`
	Mounts     []Mount `json:"mounts,omitempty"`
	// Files are written into the container's own view, by absolute path.
	Files map[string]string `json:"files,omitempty"`
	// Folder holds the container's files: Spec, log, and the mount point of
	// its scratch space. Everything the container writes is kept in memory.
	Folder string `json:"folder"`
}

// User is whom a command runs as.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Mount shows a file or folder of the machine in the container.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Folder is a container's in its pod's folder.
func Folder(pod, name string) string { return filepath.Join(pod, "containers", name) }

// File is where the spec itself is kept.
func (s Spec) File() string { return filepath.Join(s.Folder, "spec.json") }

// Log is what the command writes.
func (s Spec) Log() string { return filepath.Join(s.Folder, "log") }

func (s Spec) scratch() string { return filepath.Join(s.Folder, "scratch") }

const (
	folderMode fs.FileMode = 0o755
	fileMode   fs.FileMode = 0o644
)
