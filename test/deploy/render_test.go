// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	syaml "sigs.k8s.io/yaml"
)

const namespace = "polynic-system"

// objects are those of a text, by kind and name.
func objects(t *testing.T, text []byte) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var u unstructured.Unstructured
		err := decoder.Decode(&u)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		key := u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		if all[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		all[key] = u.Object
	}
}

func kustomize(t *testing.T, overlay string) map[string]map[string]any {
	t.Helper()
	return build(t, filepath.Join("overlays", overlay))
}

// build gives what kustomize makes of a folder of deploy.
func build(t *testing.T, folder string) map[string]map[string]any {
	t.Helper()
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
		Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "deploy", folder))
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, text)
}

// helm renders the chart with values, and gives what is installed and what the
// hooks are.
func helm(t *testing.T, values map[string]any) (installed, hooks map[string]map[string]any) {
	t.Helper()
	chart, err := loader.Load(filepath.Join("..", "..", "deploy", "chart"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: "polynic", Namespace: namespace, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := engine.Render(chart, all)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, template := range rendered {
		text.WriteString(template + "\n---\n")
	}
	installed, hooks = map[string]map[string]any{}, map[string]map[string]any{}
	for key, object := range objects(t, text.Bytes()) {
		u := unstructured.Unstructured{Object: object}
		if u.GetAnnotations()["helm.sh/hook"] != "" {
			u.SetAnnotations(nil)
			hooks[key] = u.Object
			continue
		}
		installed[key] = object
	}
	return installed, hooks
}

// unfold replaces the text of the agent's configuration, which people may write
// in many ways, by what it says.
func unfold(t *testing.T, all map[string]map[string]any) map[string]map[string]any {
	t.Helper()
	for key, object := range all {
		data, ok, err := unstructured.NestedString(object, "data", "agent.yaml")
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		var fields map[string]any
		if err := syaml.Unmarshal([]byte(data), &fields); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if ok {
			object["data"] = fields
		}
	}
	return all
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Whoever installs by kubectl, by kustomize or by Helm gets the same objects.
func TestOneSource(t *testing.T) {
	want := unfold(t, kustomize(t, "linux"))
	if diff := cmp.Diff(want, unfold(t, objects(t, file(t, "polynic.yaml")))); diff != "" {
		t.Errorf("polynic.yaml (-kustomize +it):\n%s", diff)
	}
	installed, hooks := helm(t, nil)
	const own = "Namespace /" + namespace // Helm makes it by --create-namespace
	delete(want, own)
	if diff := cmp.Diff(want, unfold(t, installed)); diff != "" {
		t.Errorf("the chart (-kustomize +it):\n%s", diff)
	}
	uninstall := objects(t, file(t, "uninstall.yaml"))
	delete(uninstall, own)
	if diff := cmp.Diff(uninstall, hooks); diff != "" {
		t.Errorf("the chart's hooks (-uninstall.yaml +they):\n%s", diff)
	}
	if diff := cmp.Diff(unfold(t, kustomize(t, "vpp")), unfold(t, objects(t, file(t, "polynic-vpp.yaml")))); diff != "" {
		t.Errorf("polynic-vpp.yaml (-kustomize +it):\n%s", diff)
	}
	if len(want) < 10 || len(hooks) != 2 {
		t.Errorf("%d objects, %d hooks", len(want), len(hooks))
	}
}

// The chart's values reach every place that they are about.
func TestValues(t *testing.T) {
	installed, hooks := helm(t, map[string]any{
		"image":  map[string]any{"repository": "registry.example/polynic", "tag": "v1", "pullPolicy": "Always"},
		"node":   map[string]any{"cniBinDir": "/usr/lib/cni", "cniConfDir": "/etc/other", "kubeletDir": "/var/snap/kubelet"},
		"memory": map[string]any{"limit": "384Mi", "go": "150MiB"},
		"agent":  map[string]any{"network": map[string]any{"mtu": 9000}},
	})
	text, err := syaml.Marshal([]any{installed, hooks})
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"polynic:devel", "IfNotPresent", " path: /opt/cni/bin", " path: /etc/cni/net.d", " path: /var/lib/kubelet", "memory: 64Mi", "48MiB"} {
		if strings.Contains(string(text), old) {
			t.Errorf("%q is there still", old)
		}
	}
	for _, given := range []string{"registry.example/polynic:v1", "/usr/lib/cni", "/etc/other", "/var/snap/kubelet/device-plugins", "mtu: 9000", "memory: 384Mi", "150MiB"} {
		if !strings.Contains(string(text), given) {
			t.Errorf("there is no %q", given)
		}
	}
}

// Where the chart's agents have etcd, who takes polynic off a node has the same.
func TestHelmUninstallsWithEtcd(t *testing.T) {
	etcd := map[string]any{"endpoints": []any{"https://192.0.2.1:2379"}, "secretDir": "/etc/polynic-etcd"}
	_, hooks := helm(t, map[string]any{"agent": map[string]any{"etcd": etcd}})
	text, _, err := unstructured.NestedString(hooks["ConfigMap "+namespace+"/polynic-uninstall"], "data", "agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var configured map[string]any
	if err := syaml.Unmarshal([]byte(text), &configured); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(etcd), configured["etcd"]); diff != "" {
		t.Errorf("etcd (-agents +uninstall):\n%s\nin\n%s", diff, text)
	}
}
