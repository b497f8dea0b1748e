// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab/podspec"
)

// tree lists a folder's files: mode and content by path; folders end in /.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		st, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			found[name+"/"] = st.Mode().Perm().String()
			return nil
		}
		content, err := os.ReadFile(path)
		found[name] = st.Mode().Perm().String() + " " + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMakeVolumes(t *testing.T) {
	folder := t.TempDir()
	pod := podspec.Pod{
		Folder: folder,
		Pod: parse(t, `
spec:
	volumes:
	- {name: data, emptyDir: {}}
	- {name: whole, configMap: {name: c}}
	- {name: part, configMap: {name: c, defaultMode: 0400, items: [{key: a, path: deep/a.txt}, {key: b, path: run, mode: 0755}]}}
	- {name: none, configMap: {name: missing, optional: true}}
	- {name: made, hostPath: {path: HERE/made/x, type: DirectoryOrCreate}}
	- {name: file, hostPath: {path: HERE/made/y, type: FileOrCreate}}
`),
		ConfigMaps: map[string]*corev1.ConfigMap{"c": {
			Data:       map[string]string{"a": "A"},
			BinaryData: map[string][]byte{"b": {0, 1}},
		}},
	}
	for _, v := range pod.Spec.Volumes {
		if v.HostPath != nil {
			v.HostPath.Path = strings.Replace(v.HostPath.Path, "HERE", folder, 1)
		}
	}
	if err := pod.MakeVolumes(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"./": "-rwxr-xr-x", "volumes/": "-rwxr-xr-x",
		"volumes/data/":  "-rwxrwxrwx",
		"volumes/whole/": "-rwxr-xr-x", "volumes/whole/a": "-rw-r--r-- A", "volumes/whole/b": "-rw-r--r-- \x00\x01",
		"volumes/part/": "-rwxr-xr-x", "volumes/part/deep/": "-rwxr-xr-x",
		"volumes/part/deep/a.txt": "-r-------- A", "volumes/part/run": "-rwxr-xr-x \x00\x01",
		"volumes/none/": "-rwxr-xr-x",
		"made/":         "-rwxr-xr-x", "made/x/": "-rwxr-xr-x", "made/y": "-rw-r--r-- ",
	}
	if diff := cmp.Diff(want, tree(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestVolumesThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct{ volume, want string }{
		"missing host path":   {"hostPath: {path: /does/not/exist}", "does not exist"},
		"relative host path":  {"hostPath: {path: srv}", "not absolute"},
		"host path of a kind": {"hostPath: {path: /dev/null, type: Directory}", "not a directory"},
		"missing config map":  {"configMap: {name: none}", `there is no ConfigMap "none"`},
		"missing key":         {"configMap: {name: c, items: [{key: k, path: k}]}", `no key "k"`},
		"a way out":           {"configMap: {name: c, items: [{key: a, path: ../../escaped}]}", "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			pod := podspec.Pod{
				Folder:     filepath.Join(folder, "pod"),
				Pod:        parse(t, "spec: {volumes: [{name: v, "+test.volume+"}]}"),
				ConfigMaps: map[string]*corev1.ConfigMap{"c": {Data: map[string]string{"a": "A"}}},
			}
			err := pod.MakeVolumes()
			if !errors.Is(err, podspec.ErrNotServed) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			for name := range tree(t, folder) {
				if strings.Contains(name, "escaped") {
					t.Errorf("%s was written", name)
				}
			}
		})
	}
}
