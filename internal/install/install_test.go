// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/install"
)

// programs is a folder with these files, which stand for programs.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("program "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(t *testing.T, programs string) install.Options {
	t.Helper()
	dir := t.TempDir()
	o := install.Options{Node: install.DefaultNode(), Programs: programs}
	o.CNIBinDir, o.CNIConfDir = filepath.Join(dir, "bin"), filepath.Join(dir, "conf")
	return o
}

// A runtime finds, by the code that runtimes read it with, plugins that are
// there.
func TestInstall(t *testing.T) {
	for name, c := range map[string]struct {
		programs, present, want []string
		warns                   bool
	}{
		"all of ours":           {programs: []string{"polynic-cni", "portmap"}, present: []string{"portmap"}, want: []string{"polynic-cni", "polynic-portmap"}},
		"portmap of the node":   {programs: []string{"polynic-cni"}, present: []string{"portmap"}, want: []string{"polynic-cni", "portmap"}},
		"no portmap to be had":  {programs: []string{"polynic-cni"}, want: []string{"polynic-cni"}, warns: true},
		"over what was earlier": {programs: []string{"polynic-cni"}, present: []string{"polynic-cni"}, want: []string{"polynic-cni"}, warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, programs(t, c.programs...))
			for _, p := range c.present {
				if err := os.MkdirAll(o.CNIBinDir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(o.CNIBinDir, p), []byte("old"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			if err := install.Install(&said, o); err != nil {
				t.Fatal(err)
			}
			if warned := strings.Contains(said.String(), "warning"); warned != c.warns {
				t.Errorf("said %q", said.String())
			}
			list, err := libcni.ConfListFromFile(filepath.Join(o.CNIConfDir, "10-polynic.conflist"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range list.Plugins {
				got = append(got, p.Network.Type)
				if st, err := os.Stat(filepath.Join(o.CNIBinDir, p.Network.Type)); err != nil || st.Mode()&0o111 == 0 {
					t.Errorf("plugin %s: %v, %v", p.Network.Type, st, err)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || list.CNIVersion != "1.1.0" || list.Name != "polynic" {
				t.Errorf("list %s %s (-want +got):\n%s", list.Name, list.CNIVersion, diff)
			}
			text, err := os.ReadFile(filepath.Join(o.CNIBinDir, "polynic-cni"))
			if err != nil || string(text) != "program polynic-cni" {
				t.Errorf("polynic-cni is %q, %v", text, err)
			}
		})
	}
}

// Who installs again, as every start of the agent's pod does, disturbs nobody:
// the files stay the same ones. Nothing else is in the folders.
func TestInstallAgain(t *testing.T) {
	o := options(t, programs(t, "polynic-cni", "portmap"))
	if err := install.Install(io.Discard, o); err != nil {
		t.Fatal(err)
	}
	first := look(t, o)
	if err := install.Install(io.Discard, o); err != nil {
		t.Fatal(err)
	}
	second := look(t, o)
	for name, st := range first {
		if !os.SameFile(st, second[name]) {
			t.Errorf("%s was replaced", name)
		}
	}
	if len(second) != 3 {
		t.Errorf("files: %v", second)
	}
}

func look(t *testing.T, o install.Options) map[string]os.FileInfo {
	t.Helper()
	all := map[string]os.FileInfo{}
	for _, dir := range []string{o.CNIBinDir, o.CNIConfDir} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if all[e.Name()], err = e.Info(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// What fails leaves neither a conflist, which would have pods started, nor
// anything unfinished.
func TestFailedInstall(t *testing.T) {
	o := options(t, programs(t)) // no plugin
	if err := install.Install(io.Discard, o); err == nil || !strings.Contains(err.Error(), "polynic-cni") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(o.ConflistFile()); !os.IsNotExist(err) {
		t.Errorf("the conflist: %v", err)
	}
	o = options(t, programs(t, "polynic-cni"))
	if err := os.MkdirAll(filepath.Join(o.ConflistFile(), "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := install.Install(io.Discard, o); err == nil {
		t.Error("no error where a folder is in the way")
	}
	if left := look(t, o); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// Under another main network nothing but the plugins is put there; other
// folders of the agent are in the configuration.
func TestSecondaryAndOtherFolders(t *testing.T) {
	o := options(t, programs(t, "polynic-cni"))
	o.Secondary = true
	if err := install.Install(io.Discard, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.ConflistFile()); !os.IsNotExist(err) {
		t.Errorf("the conflist: %v", err)
	}
	o.Secondary, o.RunDir, o.CNIVersion = false, "/run/other", "1.0.0"
	if err := install.Install(io.Discard, o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.ConflistFile())
	if err != nil || !strings.Contains(string(text), `"/run/other/cni.sock"`) || !strings.Contains(string(text), `"1.0.0"`) {
		t.Errorf("%s, %v", text, err)
	}
}
