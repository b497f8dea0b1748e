// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/watch"
)

// api is an API server, and a source that reads it.
type api struct {
	*fake.Server
	source *watch.Kubernetes

	lost chan struct{} // holds a token after the API server did not answer

	mu      sync.Mutex
	reached []bool
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{Server: fake.New(t), lost: make(chan struct{}, 1)}
	client, err := kube.New(kube.Options{Kubeconfig: a.Kubeconfig()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	a.source = watch.NewKubernetes(client, "here", func(err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := len(a.reached); n == 0 || a.reached[n-1] != (err == nil) {
			a.reached = append(a.reached, err == nil)
		}
		if err == nil {
			return
		}
		select {
		case a.lost <- struct{}{}:
		default:
		}
	})
	return a
}

// put makes a pod, or changes it; with another UID it is another pod.
func (a *api) put(name, uid, request string) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid), Annotations: map[string]string{"contivpp.io/custom-if": request}},
		Spec:       corev1.PodSpec{NodeName: "here"},
	}
	a.Put("namespaces/default/pods/"+name, pod)
}

func (a *api) run(t *testing.T) *recorder {
	t.Helper()
	sink := newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.source.Run(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return sink
}

func TestPodsOfTheNode(t *testing.T) {
	a := newAPI(t)
	a.put("one", "1", "tap1/tap")
	a.Put("namespaces/default/pods/other", &corev1.Pod{Spec: corev1.PodSpec{NodeName: "there"}})
	sink := a.run(t)
	sink.await(t, 1, "synced")
	a.put("two", "2", "veth1/veth/stub")
	a.put("two", "2", "veth1/veth/stub") // nothing that matters has changed
	a.put("one", "3", "tap2/tap")        // replaced at once, as by a watch that was away
	a.Remove("namespaces/default/pods/two")
	sink.await(t, 1, "delete default/two")
	want := []string{
		"put default/one tap1/tap", "synced", "put default/two veth1/veth/stub",
		"delete default/one", "put default/one tap2/tap", "delete default/two",
	}
	if diff := cmp.Diff(want, sink.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// What was told stays while the API server is away; afterwards only differences are
// told, wherever they come from.
func TestPodsWhileTheAPIServerIsAway(t *testing.T) {
	a := newAPI(t)
	a.put("stays", "1", "tap1/tap")
	a.put("goes", "2", "tap1/tap")
	a.put("replaced", "3", "tap1/tap")
	sink := a.run(t)
	sink.await(t, 1, "synced")
	before := len(sink.all())
	a.Stop()
	a.Remove("namespaces/default/pods/goes")
	a.put("replaced", "4", "tap2/tap")
	a.put("unseen", "", "tap1/tap")
	a.Forget()
	<-a.lost
	a.Start()
	sink.await(t, 1, "put default/unseen tap1/tap")
	told := sink.all()[before:]
	want := []string{"delete default/goes", "delete default/replaced", "put default/replaced tap2/tap", "put default/unseen tap1/tap"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if diff := cmp.Diff([]bool{true, false, true}, a.reached); diff != "" {
		t.Errorf("reached (-want +got):\n%s", diff)
	}
}

func TestFirstListingWaitsForTheAPIServer(t *testing.T) {
	a := newAPI(t)
	a.put("one", "1", "tap1/tap")
	a.Stop()
	sink := a.run(t)
	a.Start()
	sink.await(t, 1, "synced")
	if diff := cmp.Diff([]string{"put default/one tap1/tap", "synced"}, sink.all()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestGetReadsThePodAsItIs(t *testing.T) {
	a := newAPI(t)
	a.put("web", "1", "tap1/tap")
	a.Put("namespaces/default/pods/static", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "mirror", Annotations: map[string]string{
		"kubernetes.io/config.mirror": "hash", "kubernetes.io/config.hash": "hash", podif.NetworkStatusAnnotation: "[]",
	}}})
	// Only kubelet makes mirrors.
	a.Put("namespaces/default/pods/plain", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "own", Annotations: map[string]string{
		"kubernetes.io/config.hash": "hash",
	}}, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.1.1.2"}, {IP: "fd00::2"}}}})
	for _, test := range []struct {
		name, uid string
		want      string // UID, "" for not found
	}{
		{"web", "", "1"},
		{"web", "1", "1"},
		{"web", "2", ""},
		{"none", "", ""},
		{"static", "hash", "hash"},
		{"static", "mirror", ""},
		{"plain", "own", "own"},
	} {
		got, found, err := a.source.Get(t.Context(), model.PodRef{Namespace: "default", Name: test.name, UID: test.uid})
		if err != nil || found != (test.want != "") || got.Ref.UID != test.want {
			t.Errorf("%s %s: %+v, %t, %v; want %q", test.name, test.uid, got, found, err, test.want)
		}
		if isMirror := test.want == "hash"; (got.ObjectUID == "mirror") != isMirror || (got.NetworkStatus == model.DigestOf("[]")) != isMirror {
			t.Errorf("%s %s: the API has it as %q, or other annotations are known", test.name, test.uid, got.ObjectUID)
		}
		want := []netip.Addr(nil)
		if test.name == "plain" {
			want = addresses("10.1.1.2", "fd00::2")
		}
		if !slices.Equal(got.Addresses, want) {
			t.Errorf("%s %s has %v, want %v", test.name, test.uid, got.Addresses, want)
		}
	}
	a.Stop()
	began := time.Now()
	_, found, err := a.source.Get(t.Context(), model.PodRef{Namespace: "default", Name: "web"})
	if found || !errors.Is(err, watch.ErrAway) || !strings.Contains(err.Error(), "refused") || time.Since(began) > patience {
		t.Errorf("the API server is away: %t, %v after %s", found, err, time.Since(began))
	}
}

func TestModelNode(t *testing.T) {
	for _, test := range []struct {
		name, number string
		spec         corev1.NodeSpec
		want         model.Node
		wrong        string
	}{
		{name: "nothing"},
		{name: "one range", spec: corev1.NodeSpec{PodCIDR: "10.244.1.0/24"}, want: model.Node{PodRanges: prefixes("10.244.1.0/24")}},
		{
			name: "two families, and a number", number: "7",
			spec: corev1.NodeSpec{PodCIDR: "fd00::/64", PodCIDRs: []string{"fd00::/64", "10.244.1.0/24"}},
			want: model.Node{PodRanges: prefixes("fd00::/64", "10.244.1.0/24"), ID: 7},
		},
		{name: "no range", spec: corev1.NodeSpec{PodCIDRs: []string{"10.244/24"}}, wrong: "spec.podCIDRs of the node: "},
		{name: "no number", number: "first", wrong: `annotation contivpp.io/node-id of the node: "first" is not a number from 1`},
		{name: "number 0", number: "0", wrong: "is not a number from 1"},
	} {
		node := &corev1.Node{Spec: test.spec}
		if test.number != "" {
			node.Annotations = map[string]string{watch.NodeIDAnnotation: test.number}
		}
		got, err := watch.ModelNode(node)
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%s: %v, want %q", test.name, err, test.wrong)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Prefix{})); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// What is said of the node is said again once the API server is back.
func TestNodeIsFollowed(t *testing.T) {
	a := newAPI(t)
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.source.RunNode(ctx, func(n model.Node, err error) {
			switch {
			case errors.Is(err, watch.ErrAway):
				told <- "away"
			case err != nil:
				told <- err.Error()
			default:
				told <- cidrs(n)
			}
		})
	}()
	await := func(want string) {
		t.Helper()
		deadline := time.After(patience)
		for {
			select {
			case got := <-told:
				if got == want {
					return
				}
			case <-deadline:
				t.Fatalf("%q was not told", want)
			}
		}
	}
	await("node here: the API server knows no such node (is nodeName the name that kubelet registered?)")
	if _, err := a.source.Node(t.Context()); err == nil || !strings.Contains(err.Error(), "no such node") {
		t.Errorf("no node: %v", err)
	}
	a.Put("nodes/here", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "here"}})
	await("")
	a.Put("nodes/here", &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "here"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.1.0/24"}},
	})
	await("10.244.1.0/24")
	a.Stop()
	await("away")
	a.Start()
	await("10.244.1.0/24")
	if n, err := a.source.Node(t.Context()); err != nil || cidrs(n) != "10.244.1.0/24" {
		t.Errorf("node: %v, %v", n, err)
	}
	cancel()
	<-done
}

func cidrs(n model.Node) string {
	var list []string
	for _, r := range n.PodRanges {
		list = append(list, r.String())
	}
	return strings.Join(list, " ")
}
