// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab/container"
)

// mounts says what of the pod's volumes a container sees where.
func (p Pod) mounts(c *corev1.Container, field string) ([]container.Mount, error) {
	var mounts []container.Mount
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := index(field+".volumeMounts", i)
		v := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if v < 0 {
			return nil, refuse(at+".name", "there is no volume %q", m.Name)
		}
		if !path.IsAbs(m.MountPath) || path.Clean(m.MountPath) == "/" {
			return nil, refuse(at+".mountPath", "%q is not an absolute path below /", m.MountPath)
		}
		volume := &p.Spec.Volumes[v]
		mounts = append(mounts, container.Mount{
			Source:   p.volumePath(volume),
			Target:   path.Clean(m.MountPath),
			ReadOnly: m.ReadOnly || volume.ConfigMap != nil, // as kubelet has it
		})
	}
	return mounts, nil
}

func (p Pod) volumePath(v *corev1.Volume) string {
	if v.HostPath != nil {
		return v.HostPath.Path
	}
	return filepath.Join(p.Folder, "volumes", v.Name)
}

// MakeVolumes makes what the pod's volumes need on the machine: folders for
// those that are empty at first, files for ConfigMaps, and what a hostPath
// asks to be made.
func (p Pod) MakeVolumes() error {
	for name, grant := range p.Grants {
		for _, m := range grant.Mounts {
			if err := os.MkdirAll(m.Source, 0o755); err != nil { // as container runtimes do
				return fmt.Errorf("container %s: mount %s: %w", name, m.Target, err)
			}
		}
	}
	for i := range p.Spec.Volumes {
		if err := p.makeVolume(&p.Spec.Volumes[i]); err != nil {
			return refuse(index("spec.volumes", i), "%v", err)
		}
	}
	return nil
}

func (p Pod) makeVolume(v *corev1.Volume) error {
	if v.HostPath != nil {
		return makeHostPath(v.HostPath)
	}
	folder := p.volumePath(v)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if v.ConfigMap != nil {
		return p.writeConfigMap(v.ConfigMap, folder)
	}
	return os.Chmod(folder, 0o777) // an emptyDir is for every user of the pod
}

func (p Pod) writeConfigMap(source *corev1.ConfigMapVolumeSource, folder string) error {
	optional := source.Optional != nil && *source.Optional
	configMap, ok := p.ConfigMaps[source.Name]
	if !ok {
		if optional {
			return nil
		}
		return missingConfigMap(source.Name)
	}
	items := source.Items
	if len(items) == 0 {
		for key := range configMap.Data {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
		for key := range configMap.BinaryData {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	root, err := os.OpenRoot(folder) // a path in the manifest cannot lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	for _, item := range items {
		content, ok := content(configMap, item.Key)
		if !ok {
			if optional {
				continue
			}
			return missingKey(source.Name, item.Key)
		}
		if err := writeFile(root, item.Path, content, mode(item.Mode, source.DefaultMode)); err != nil {
			return fmt.Errorf("ConfigMap %q: %w", source.Name, err)
		}
	}
	return nil
}

func content(c *corev1.ConfigMap, key string) ([]byte, bool) {
	if text, ok := c.Data[key]; ok {
		return []byte(text), true
	}
	data, ok := c.BinaryData[key]
	return data, ok
}

func mode(modes ...*int32) fs.FileMode {
	for _, m := range modes {
		if m != nil {
			return fs.FileMode(*m) & fs.ModePerm
		}
	}
	return 0o644
}

func writeFile(root *os.Root, name string, content []byte, mode fs.FileMode) error {
	if folder := path.Dir(name); folder != "." {
		if err := root.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := root.WriteFile(name, content, mode); err != nil {
		return err
	}
	return root.Chmod(name, mode) // whatever the umask says
}

// makeHostPath checks, and where the type says so makes, a path of the
// machine (core/v1, HostPathType).
func makeHostPath(source *corev1.HostPathVolumeSource) error {
	if !filepath.IsAbs(source.Path) {
		return fmt.Errorf("hostPath.path %q is not absolute", source.Path)
	}
	kind := corev1.HostPathUnset
	if source.Type != nil {
		kind = *source.Type
	}
	st, err := os.Stat(source.Path)
	if errors.Is(err, os.ErrNotExist) {
		return createHostPath(source.Path, kind)
	}
	if err != nil {
		return err
	}
	if want, ok := hostPathTypes()[kind]; ok && st.Mode().Type() != want {
		return fmt.Errorf("hostPath %s is not a %s", source.Path,
			strings.ToLower(strings.TrimSuffix(string(kind), "OrCreate")))
	}
	return nil
}

func createHostPath(name string, kind corev1.HostPathType) error {
	if kind == corev1.HostPathDirectoryOrCreate {
		return os.MkdirAll(name, 0o755)
	}
	if kind == corev1.HostPathFileOrCreate {
		return os.WriteFile(name, nil, 0o644)
	}
	return fmt.Errorf("hostPath %s does not exist on this machine", name)
}

func hostPathTypes() map[corev1.HostPathType]fs.FileMode {
	return map[corev1.HostPathType]fs.FileMode{
		corev1.HostPathDirectory:         fs.ModeDir,
		corev1.HostPathDirectoryOrCreate: fs.ModeDir,
		corev1.HostPathFile:              0,
		corev1.HostPathFileOrCreate:      0,
		corev1.HostPathSocket:            fs.ModeSocket,
		corev1.HostPathCharDev:           fs.ModeDevice | fs.ModeCharDevice,
		corev1.HostPathBlockDev:          fs.ModeDevice,
	}
}
