// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/internal/model"
)

// server is an API server that is spoken to over HTTP.
type server struct {
	t      *testing.T
	client *kube.Client
	host   string
	http   *http.Client
}

func connect(t *testing.T, kubeconfig string) *server {
	t.Helper()
	client, err := kube.New(kube.Options{Kubeconfig: kubeconfig, UserAgent: "polynic/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	settings, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, client: client, host: settings.Host}
	if s.http, err = rest.HTTPClientFor(settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(s.http.Transport) })
	return s
}

// do asks as an administrator, and reads the answer into an object.
func (s *server) do(method, path string, body, answer any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.host+"/api/v1/"+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err = io.ReadAll(response.Body); err != nil || response.StatusCode >= http.StatusBadRequest {
		s.t.Fatalf("%s %s: %s, %v: %s", method, path, response.Status, err, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) pod(name string) corev1.Pod {
	s.t.Helper()
	var made corev1.Pod
	s.do(http.MethodPost, "namespaces/default/pods", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"theirs": "stays"}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}, &made)
	return made
}

// eventually waits until the API server has what is looked for.
func (s *server) eventually(what string, look func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}

func TestOverHTTP(t *testing.T) { testOverHTTP(t, connect(t, fake.New(t).Kubeconfig())) }

// testOverHTTP shows that what the cluster of the other tests takes and refuses,
// an API server does.
func testOverHTTP(t *testing.T, s *server) {
	t.Helper()
	logs := &logs{}
	r := New(Config{Log: slog.New(slog.NewTextHandler(logs, nil)), API: s.client, Pods: &pods{}, NodeName: "node-1", NetworkStatus: true})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	made := s.pod("web")
	pod := model.PodRef{Namespace: "default", Name: "web", UID: string(made.UID)}
	r.Added(ctx, ask(pod), everything(), nil)
	want, err := NetworkStatus("polynic", everything())
	if err != nil {
		t.Fatal(err)
	}
	var now corev1.Pod
	s.eventually("the annotation", func() bool {
		s.do(http.MethodGet, "namespaces/default/pods/web", nil, &now)
		return now.Annotations[podif.NetworkStatusAnnotation] == want && now.Annotations["theirs"] == "stays"
	})

	earlier := pod
	earlier.UID = "0b4b0b0a-0000-4000-8000-000000000000"
	r.Added(ctx, ask(earlier), wired("10.1.1.2/32"), nil)
	missing := model.PodRef{Namespace: "default", Name: "none", UID: earlier.UID}
	r.Added(ctx, ask(missing), wired("10.1.1.2/32"), nil)
	s.eventually("pods that are not there are forgotten", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.jobs) == 0
	})
	s.do(http.MethodGet, "namespaces/default/pods/web", nil, &now)
	if now.Annotations[podif.NetworkStatusAnnotation] != want {
		t.Error("the annotation of another pod was written")
	}

	for _, reason := range []string{"no", "neither"} {
		r.Added(ctx, ask(pod), attach.Result{}, refusal(cniwire.CodeRefused, reason))
		s.eventually("an Event that says "+reason, func() bool {
			var events corev1.EventList
			s.do(http.MethodGet, "events", nil, &events)
			return len(events.Items) == 1 && events.Items[0].Message == reason
		})
	}
	if text := logs.String(); text != "" {
		t.Errorf("the log says\n%s", text)
	}
}
