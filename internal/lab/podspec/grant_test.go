// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/podspec"
)

const withDevices = `
metadata: {name: p}
spec:
	containers:
	- name: a
		command: [app, "$(SECRET)", "$(SOCKET)"]
		env:
		- {name: SOCKET, value: own}
		- {name: COPY, value: "$(SECRET)"}
		volumeMounts: [{name: data, mountPath: /data}]
	- name: b
	volumes: [{name: data, emptyDir: {}}]
`

// What devices give is in the environment, unless the manifest says otherwise;
// the command may refer to it, and the manifest's variables may not.
func TestGrants(t *testing.T) {
	source := filepath.Join(t.TempDir(), "run", "folder")
	pod := podspec.Pod{
		Pod: parse(t, withDevices), Folder: filepath.Join(t.TempDir(), "p"),
		Grants: map[string]container.Grant{"a": {
			Env:    map[string]string{"SECRET": "s", "SOCKET": "theirs"},
			Mounts: []container.Mount{{Source: source, Target: "/run/vpp"}},
		}},
	}
	got, err := pod.Containers()
	if err != nil {
		t.Fatal(err)
	}
	a := got.Main[0]
	if diff := cmp.Diff([]string{"app", "s", "own"}, a.Command); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"COPY=$(SECRET)", "SECRET=s", "SOCKET=own"}, slicesOf(a.Env, "COPY", "SECRET", "SOCKET")); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	want := []container.Mount{{Source: source, Target: "/run/vpp"}, {Source: filepath.Join(pod.Folder, "volumes", "data"), Target: "/data"}}
	if diff := cmp.Diff(want, a.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if b := got.Main[1]; b.Mounts != nil || len(slicesOf(b.Env, "SECRET")) > 0 {
		t.Errorf("container b has what a was given: %v %v", b.Mounts, b.Env)
	}
	// A source that is missing is made, as container runtimes do.
	if err := pod.MakeVolumes(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		t.Errorf("the source of the mount: %v, %v", info, err)
	}
}

// slicesOf are the variables of these names.
func slicesOf(env []string, names ...string) []string {
	var found []string
	for _, v := range env {
		for _, name := range names {
			if len(v) > len(name) && v[:len(name)+1] == name+"=" {
				found = append(found, v)
			}
		}
	}
	return found
}
