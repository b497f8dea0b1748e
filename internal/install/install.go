// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package install puts on a node what the container runtime looks for, the CNI
// plugins and their configuration, and takes everything of polynic away again.
package install

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The names under which things are on a node.
const (
	// Conflist is named so that it comes before most others: runtimes take the
	// first.
	Conflist = "10-polynic.conflist"
	// CNIPlugin is the plugin; the conflist names it.
	CNIPlugin = "polynic-cni"
	// PortmapPlugin is the reference plugin for hostPort, under a name of our own:
	// those of distributions are often too old for the conflist's version, and
	// not ours to replace.
	PortmapPlugin = "polynic-portmap"
)

// Node is where a node keeps things. A container has them mounted; the folders
// are then those of the container.
type Node struct {
	CNIBinDir  string
	CNIConfDir string
	// RunDir and StateDir are the agent's.
	RunDir   string
	StateDir string
}

// DefaultNode is where most nodes keep things.
func DefaultNode() Node {
	return Node{
		CNIBinDir: "/opt/cni/bin", CNIConfDir: "/etc/cni/net.d",
		RunDir: "/run/polynic", StateDir: "/var/lib/polynic",
	}
}

// ConflistFile is where the network configuration is.
func (n Node) ConflistFile() string { return filepath.Join(n.CNIConfDir, Conflist) }

// Options is what is installed.
type Options struct {
	Node
	// Programs is the folder of polynic-cni and, where hostPort is wanted,
	// portmap.
	Programs string
	// CNIVersion of the conflist.
	CNIVersion string
	// Secondary leaves the conflist out, and removes an earlier one: the pods' main network is another's,
	// and a NetworkAttachmentDefinition names the plugin.
	Secondary bool
}

// Install puts the plugins and then the conflist in place. Each file is
// replaced as a whole or not at all, and one that is the same already is left
// alone: a runtime that sees the conflist can use it, and one that runs is not
// disturbed. It tells w what it did.
func Install(w io.Writer, o Options) error {
	if err := o.removeUnfinished(w); err != nil {
		return err
	}
	if err := put(w, filepath.Join(o.CNIBinDir, CNIPlugin), filepath.Join(o.Programs, CNIPlugin)); err != nil {
		return err
	}
	plugins := []plugin{{Type: CNIPlugin, Socket: ownPath(o.RunDir, DefaultNode().RunDir, "cni.sock"), StateDir: ownPath(o.StateDir, DefaultNode().StateDir, "")}}
	portmap, err := o.portmap(w)
	if err != nil {
		return err
	}
	if portmap != "" {
		plugins = append(plugins, plugin{Type: portmap, Capabilities: map[string]bool{"portMappings": true}})
	}
	if o.Secondary {
		return remove(w, o.ConflistFile())
	}
	text, err := encode(conflist{CNIVersion: cmp.Or(o.CNIVersion, DefaultCNIVersion), Name: "polynic", Plugins: plugins})
	if err != nil {
		return err
	}
	return replace(w, o.ConflistFile(), bytes.NewReader(text), 0o644)
}

// portmap installs our copy of the plugin, where the programs have one, and
// says what the conflist is to call it; nothing where there is none.
func (o Options) portmap(w io.Writer) (string, error) {
	err := put(w, filepath.Join(o.CNIBinDir, PortmapPlugin), filepath.Join(o.Programs, "portmap"))
	if err == nil {
		return PortmapPlugin, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(o.CNIBinDir, "portmap")); err == nil {
		return "portmap", nil
	}
	fmt.Fprintf(w, "warning: there is no portmap plugin in %s: hostPort will have no effect\n", o.CNIBinDir)
	return "", nil
}

// put copies a program.
func put(w io.Writer, path, source string) error {
	in, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	defer in.Close()
	return replace(w, path, in, 0o755)
}

// replace gives the file this content and mode, unless it has them. Under its
// name there is the old file or the new one, whole and on the disk.
func replace(w io.Writer, path string, content io.ReadSeeker, mode os.FileMode) error {
	same, err := is(path, content, mode)
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	if same {
		fmt.Fprintf(w, "%s is there already\n", path)
		return nil
	}
	if err := write(path, content, mode); err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	fmt.Fprintf(w, "%s installed\n", path)
	return nil
}

// is reports whether the file has the content and the mode. The content is at
// its beginning afterwards.
func is(path string, content io.ReadSeeker, mode os.FileMode) (bool, error) {
	want, err := io.ReadAll(content)
	if err != nil {
		return false, err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	have, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	st, err := os.Lstat(path)
	return err == nil && st.Mode() == mode && bytes.Equal(have, want), err
}

// temporary begins the names of files that are being written, in a form that no
// runtime takes for a configuration.
const temporary = ".polynic-new-"

// removeUnfinished removes what an install that was killed left.
func (n Node) removeUnfinished(w io.Writer) error {
	var errs []error
	for _, dir := range []string{n.CNIBinDir, n.CNIConfDir} {
		unfinished, err := filepath.Glob(filepath.Join(dir, temporary+"*"))
		errs = append(errs, err)
		for _, path := range unfinished {
			errs = append(errs, remove(w, path))
		}
	}
	return errors.Join(errs...)
}

// write makes a file beside path and gives it that name.
func write(path string, content io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	err = errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
