// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func want(t testing.TB, r *running, pods map[string]string) {
	t.Helper()
	got := r.state()
	for name := range got {
		if strings.HasPrefix(name, "default/settle-") {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(pods, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func TestFirstListingThenSynced(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"b.yml":   pod("two", "tap1/tap,veth1/veth/stub") + pod("three", "memif1/memif"),
		"a.yaml":  pod("one", "tap1/tap"),
		"c.json":  `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "four"}}`,
		".x.yaml": pod("hidden", "tap1/tap"),
		"a.yaml~": pod("backup", "tap1/tap"),
		"bad.yml": "kind: [",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := follow(t, dir, newRecorder())
	r.await(t, 1, "synced")
	r.put("d.yaml", pod("five", "tap1/tap"))
	r.await(t, 1, "put default/five tap1/tap")
	told := []string{
		"put default/one tap1/tap", "put default/two tap1/tap,veth1/veth/stub", "put default/three memif1/memif",
		"put default/four ", "synced", "put default/five tap1/tap",
	}
	if diff := cmp.Diff(told, r.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if n := r.logs.count("bad.yml:1"); n != 1 {
		t.Errorf("the broken file was logged %d times", n)
	}
}

func TestFilesComeChangeAndGo(t *testing.T) {
	r := follow(t, t.TempDir(), newRecorder())
	r.await(t, 1, "synced")

	r.put("a.yaml", pod("a", "tap1/tap")+pod("b", "tap1/tap"))
	r.settle()
	want(t, r, map[string]string{"default/a": "tap1/tap", "default/b": "tap1/tap"})

	r.put("a.yaml", pod("b", "tap1/tap")+pod("c", "tap1/tap"))
	r.settle()
	want(t, r, map[string]string{"default/b": "tap1/tap", "default/c": "tap1/tap"})

	r.put("a.yaml", pod("b", "veth1/veth"))
	r.must(os.Rename(r.path("a.yaml"), r.path("b.yaml")))
	r.must(os.Link(r.path("b.yaml"), r.path("link.yaml")))
	r.must(os.Symlink("b.yaml", r.path("symlink.yaml")))
	r.settle()
	want(t, r, map[string]string{"default/b": "veth1/veth"})
	if n := r.logs.count("several files declare one pod"); n == 0 {
		t.Errorf("nothing was logged of a pod that three files declare")
	}

	r.must(os.Remove(r.path("symlink.yaml")))
	r.must(os.Remove(r.path("b.yaml")))
	r.must(os.Rename(r.path("link.yaml"), r.path("link.yaml.off")))
	r.settle()
	want(t, r, map[string]string{})
	if count := strings.Count(strings.Join(r.all(), "\n"), "put default/b tap1/tap"); count != 1 {
		t.Errorf("an unchanged pod was put %d times", count)
	}
}

func TestHalfWrittenFileIsNotRead(t *testing.T) {
	r := follow(t, t.TempDir(), newRecorder())
	r.await(t, 1, "synced")
	r.put("a.yaml", pod("a", "tap1/tap,tap2/tap"))
	r.await(t, 1, "put default/a tap1/tap,tap2/tap")

	// Both a file of its own and one that is written over.
	for _, file := range []string{"a.yaml", "new.yaml"} {
		name := strings.TrimSuffix(file, ".yaml")
		writer, err := os.Create(r.path(file))
		r.must(err)
		_, err = writer.WriteString(strings.TrimSuffix(pod(name, "tap1/tap"), "\n---\n"))
		r.must(err)
		r.settle()
		for _, told := range r.all() {
			if told == "put default/"+name+" tap1/tap" || told == "delete default/a" {
				t.Errorf("%s: half of the file was read: %s", file, told)
			}
		}
		_, err = writer.WriteString(",veth1/veth\n")
		r.must(err)
		r.must(writer.Close())
		r.await(t, 1, "put default/"+name+" tap1/tap,veth1/veth")
	}
}

func TestBadFileKeepsItsLastPods(t *testing.T) {
	r := follow(t, t.TempDir(), newRecorder())
	r.put("a.yaml", pod("a", "tap1/tap"))
	r.put("b.yaml", pod("b", "tap1/tap"))
	r.must(os.Symlink("loop.yaml", r.path("loop.yaml")))
	r.settle()
	for range 3 {
		r.put("a.yaml", pod("a", "tap1/tap")+"kind: {")
		r.settle()
	}
	r.put("b.yaml", pod("b", "tap2/tap"))
	r.settle()
	want(t, r, map[string]string{"default/a": "tap1/tap", "default/b": "tap2/tap"})
	if n := r.logs.count("a.yaml:8"); n != 1 {
		t.Errorf("one broken content was logged %d times", n)
	}
	r.put("a.yaml", "kind: [")
	r.settle()
	r.must(os.Symlink("loop.yaml", r.path(".draft")))
	r.must(os.Rename(r.path(".draft"), r.path("loop.yaml")))
	r.settle()
	if n := r.logs.count("cannot be read"); n != 3 {
		t.Errorf("two broken contents and a link that leads nowhere were logged %d times", n)
	}
	r.put("a.yaml", pod("a", "tap9/tap"))
	r.settle()
	want(t, r, map[string]string{"default/a": "tap9/tap", "default/b": "tap2/tap"})
}

func TestProblemsAreToldWithThePod(t *testing.T) {
	r := follow(t, t.TempDir(), newRecorder())
	r.put("a.yaml", pod("a", "tap1/Tap")+strings.Replace(pod("w", "tap1/tap"), "kind: Pod", "kind: ReplicaSet", 1))
	r.settle()
	r.mu.Lock()
	got := r.pods["default/a"].Problems.Err()
	r.mu.Unlock()
	if got == nil || !strings.Contains(got.Error(), `did you mean "tap"?`) {
		t.Errorf("problems of the pod: %v", got)
	}
	if n := r.logs.count("no effect on a ReplicaSet"); n != 1 {
		t.Errorf("the misplaced annotation was logged %d times", n)
	}
}

func TestFirstFileByNameDecides(t *testing.T) {
	r := follow(t, t.TempDir(), newRecorder())
	r.put("b.yaml", pod("x", "tapb/tap"))
	r.settle()
	r.put("c.yaml", pod("x", "tapc/tap"))
	r.settle()
	want(t, r, map[string]string{"default/x": "tapb/tap"})
	r.put("a.yaml", pod("x", "tapa/tap"))
	r.settle()
	want(t, r, map[string]string{"default/x": "tapa/tap"})
	r.must(os.Remove(r.path("a.yaml")))
	r.must(os.Remove(r.path("b.yaml")))
	r.settle()
	want(t, r, map[string]string{"default/x": "tapc/tap"})
}

func TestReplacedPodIsDeletedFirst(t *testing.T) {
	uid := func(uid string) string {
		return strings.Replace(pod("a", "tap1/tap"), "  annotations", "  uid: "+uid+"\n  annotations", 1)
	}
	r := follow(t, t.TempDir(), newRecorder())
	for _, id := range []string{"one", "one", "two"} {
		r.put("a.yaml", uid(id))
		r.settle()
	}
	var told []string
	for _, text := range r.all() {
		if strings.Contains(text, "default/a") {
			told = append(told, text)
		}
	}
	if diff := cmp.Diff([]string{"put default/a tap1/tap", "delete default/a", "put default/a tap1/tap"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
