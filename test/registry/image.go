// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/polynic/polynic/test/need"
)

// Image is a container image of one layer.
type Image struct {
	Files      []File
	Entrypoint []string
	Cmd        []string // what follows where a pod says nothing else
	Env        []string
}

// File is one file of an image: a copy of one of this machine, a symbolic link,
// or text.
type File struct {
	Path string // in the image, absolute
	From string // on this machine; followed if it is a link
	Link string
	Text string
}

// layer is the image's content as an archive.
func (i Image) layer() ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	seen := map[string]bool{}
	for _, f := range i.Files {
		if seen[f.Path] {
			continue
		}
		seen[f.Path] = true
		if err := f.write(archive); err != nil {
			return nil, fmt.Errorf("image: %s: %w", f.Path, err)
		}
	}
	for _, dir := range []string{"tmp/", "run/", "var/", "root/"} {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("image: %s: %w", dir, err)
		}
	}
	err := archive.Close()
	return buffer.Bytes(), err
}

func (f File) write(archive *tar.Writer) error {
	name := strings.TrimPrefix(f.Path, "/")
	if f.Link != "" {
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: f.Link})
	}
	data := []byte(f.Text)
	if f.From != "" {
		var err error
		if data, err = os.ReadFile(f.From); err != nil {
			return err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data))}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(data)
	return err
}

// Busybox is what a shell in a container needs: Debian's static busybox under
// the names of all its commands.
func Busybox(t testing.TB) []File {
	t.Helper()
	busybox := need.Command(t, need.Cluster, "busybox")
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := []File{
		{Path: "/bin/busybox", From: busybox},
		{Path: "/etc/passwd", Text: "root:x:0:0:root:/root:/bin/sh\n"},
		{Path: "/etc/group", Text: "root:x:0:\n"},
	}
	for name := range strings.FieldsSeq(string(out)) {
		files = append(files, File{Path: path.Join("/bin", name), Link: "busybox"})
	}
	return files
}

// Program is programs of this machine with the libraries that they are linked
// with, or libraries with their own, each at its own place.
func Program(t testing.TB, paths ...string) []File {
	t.Helper()
	library := regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)
	var files []File
	for _, p := range paths {
		files = append(files, at(t, p)...)
		out, err := exec.Command("ldd", p).CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("not a dynamic executable")) {
			t.Fatalf("ldd %s: %v: %s", p, err, out)
		}
		for _, found := range library.FindAllSubmatch(out, -1) {
			files = append(files, at(t, string(found[1]))...)
		}
	}
	return files
}

// at is a file at its own place, and the link to it where that is one: a library
// that is found by two names must not be loaded twice.
func at(t testing.TB, name string) []File {
	t.Helper()
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	files := []File{{Path: real, From: real}}
	if real != name {
		files = append(files, File{Path: name, Link: real})
	}
	return files
}
