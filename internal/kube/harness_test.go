// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/polynic/polynic/internal/kube"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long anything may take before a test gives up.
const limit = 20 * time.Second

// cluster is an API server, the fake or a real one, as its administrator sees it.
type cluster struct {
	testing.TB
	kubeconfig string
	host       string
	http       *http.Client
}

func newCluster(t testing.TB, kubeconfig string) *cluster {
	t.Helper()
	c := &cluster{TB: t, kubeconfig: kubeconfig}
	settings, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	c.must(err)
	c.host = settings.Host
	c.http, err = rest.HTTPClientFor(settings)
	c.must(err)
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(c.http.Transport) })
	return c
}

func (c *cluster) client() *kube.Client {
	c.Helper()
	client, err := kube.New(kube.Options{Kubeconfig: c.kubeconfig, UserAgent: "polynic/test"})
	c.must(err)
	c.Cleanup(client.Close)
	return client
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// do sends an object, and gives the answer.
func (c *cluster) do(method, path string, o any) []byte {
	c.Helper()
	body, err := json.Marshal(o)
	c.must(err)
	request, err := http.NewRequestWithContext(c.Context(), method, c.host+"/api/v1/"+path, bytes.NewReader(body))
	c.must(err)
	request.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	response, err := c.http.Do(request)
	c.must(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	c.must(err)
	if response.StatusCode >= http.StatusBadRequest {
		c.Fatalf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer
}

// pod makes a pod on a node.
func (c *cluster) pod(name, node, wish string) *corev1.Pod {
	c.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"wish": wish}},
		Spec: corev1.PodSpec{
			NodeName:   node,
			Containers: []corev1.Container{{Name: "c", Image: "none"}},
		},
	}
	made := &corev1.Pod{}
	c.must(json.Unmarshal(c.do(http.MethodPost, "namespaces/default/pods", pod), made))
	return made
}

func (c *cluster) wish(name, wish string) {
	c.Helper()
	c.do(http.MethodPatch, "namespaces/default/pods/"+name, map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{"wish": wish}},
	})
}

func (c *cluster) remove(name string) {
	c.Helper()
	c.do(http.MethodDelete, "namespaces/default/pods/"+name, map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
	})
}

// recorder is a sink that keeps what it was told, each as a line.
type recorder struct {
	mu    sync.Mutex
	lines []string
	fresh chan struct{} // holds a token after news
}

func (r *recorder) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.lines); n > 0 && r.lines[n-1] == line && strings.HasPrefix(line, "reached") {
		return
	}
	r.lines = append(r.lines, line)
	select {
	case r.fresh <- struct{}{}:
	default:
	}
}

type object = metav1.PartialObjectMetadata

func line(o *object) string { return o.Name + " " + o.Annotations["wish"] }

func (r *recorder) Listed(objects []*object) {
	var all []string
	for _, o := range objects {
		all = append(all, line(o))
	}
	slices.Sort(all)
	r.note(fmt.Sprintf("listed %q", all))
}

func (r *recorder) Put(o *object)     { r.note("put " + line(o)) }
func (r *recorder) Deleted(o *object) { r.note("deleted " + line(o)) }

func (r *recorder) Reached(err error) {
	if err == nil {
		r.note("reached")
	} else {
		r.note("reached not")
	}
}

// told is what a sink was told, without how the API server was reached.
func (r *recorder) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.lines), func(l string) bool { return strings.HasPrefix(l, "reached") })
}

// await waits until a line was told.
func (r *recorder) await(t testing.TB, line string) {
	t.Helper()
	deadline := time.After(limit)
	for {
		r.mu.Lock()
		all := slices.Clone(r.lines)
		r.mu.Unlock()
		if slices.Contains(all, line) {
			return
		}
		select {
		case <-r.fresh:
		case <-deadline:
			t.Fatalf("%q was not told; told %q", line, all)
		}
	}
}

// follow follows the pods of node "here" until the test ends.
func follow(t testing.TB, client *kube.Client) *recorder {
	t.Helper()
	r := &recorder{fresh: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.PodsOf("here").Follow(ctx, r)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}
