// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

func TestModelPod(t *testing.T) {
	got := watch.ModelPod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "blue", Name: "web", UID: "1234",
		Annotations: map[string]string{
			"contivpp.io/custom-if":           "tap1/tap, memif1/memif/l3net",
			"contivpp.io/microservice-label":  "vnf1",
			"contivpp.io/service-endpoint-if": "tap1",
			"contivpp.io/custom-if-2":         "tap2/tap",
		},
	}})
	want := model.Pod{
		Ref: model.PodRef{Namespace: "blue", Name: "web", UID: "1234"},
		Request: podif.Request{
			{Name: "tap1", Type: podif.Tap, Network: "default"}, {Name: "memif1", Type: podif.Memif, Network: "l3net"},
		},
		MicroserviceLabel: "vnf1",
		ServiceEndpointIf: "tap1",
	}
	if n := len(got.Problems.Warnings()); n != 1 || got.Problems.Err() != nil {
		t.Errorf("problems %v, want a warning for the key that is nearly one", got.Problems)
	}
	got.Problems = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

// folder makes a folder of files and a source that nobody runs.
func folder(t *testing.T, files map[string]string) (*watch.Dir, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return watch.NewDir(dir, slog.New(slog.DiscardHandler)), dir
}

func TestGetReadsTheFolderAsItIs(t *testing.T) {
	withUID := strings.Replace(pod("uid", "tap1/tap"), "  annotations", "  uid: one\n  annotations", 1)
	source, dir := folder(t, map[string]string{
		"a.yaml": pod("a", "tap1/tap") + pod("twice", "first/tap"),
		"b.yaml": pod("twice", "second/tap") + withUID,
		"c.json": `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "\u0077eb", "namespace": "blue"}}`,
		"d.bak":  pod("old", "tap1/tap"),
		"z.yaml": "kind: [",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ref  model.PodRef
		want string // "" for not found
	}{
		{model.PodRef{Namespace: "default", Name: "a"}, "tap1/tap"},
		{model.PodRef{Namespace: "default", Name: "a", UID: "any"}, "tap1/tap"},
		{model.PodRef{Namespace: "default", Name: "twice"}, "first/tap"},
		{model.PodRef{Namespace: "default", Name: "uid", UID: "one"}, "tap1/tap"},
		{model.PodRef{Namespace: "default", Name: "uid", UID: "two"}, ""},
		{model.PodRef{Namespace: "blue", Name: "a"}, ""},
		{model.PodRef{Namespace: "default", Name: "old"}, ""},
	} {
		got, found, err := source.Get(t.Context(), test.ref)
		if err != nil || found != (test.want != "") || got.Request.String() != test.want || got.OfFile != found {
			t.Errorf("%+v: %s, %t, %v; want %q", test.ref, got.Request, found, err, test.want)
		}
	}
	if _, found, err := source.Get(t.Context(), model.PodRef{Namespace: "blue", Name: "web"}); !found || err != nil {
		t.Errorf("a pod whose name is written with an escape: %t, %v", found, err)
	}
}

func TestGetSaysWhyItCannotTell(t *testing.T) {
	source, dir := folder(t, map[string]string{
		"a.yaml": pod("a", "tap1/tap"),
		"b.yaml": pod("b", "tap1/tap") + "kind: [",
	})
	get := func(name string) (bool, error) {
		_, found, err := source.Get(t.Context(), model.PodRef{Namespace: "default", Name: name})
		if err != nil && strings.Contains(err.Error(), "default/"+name) {
			t.Errorf("error %q names the pod, as its reader does", err)
		}
		return found, err
	}
	if found, err := get("b"); found || err == nil || !strings.Contains(err.Error(), "b.yaml:8") {
		t.Errorf("pod of a broken file: %t, %v", found, err)
	}
	writer, err := os.OpenFile(filepath.Join(dir, "a.yaml"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := get("a"); found || err == nil || !strings.Contains(err.Error(), "still being written") {
		t.Errorf("pod of a file that is being written: %t, %v", found, err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := get("a"); !found || err != nil {
		t.Errorf("once it is closed: %t, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := source.Get(ctx, model.PodRef{Name: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if found, err := get("a"); found || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "folder of manifests: ") {
		t.Errorf("no folder: %t, %v", found, err)
	}
}
