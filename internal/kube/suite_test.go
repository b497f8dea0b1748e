// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/kube/fake"
)

// outage is an API server that can be stopped and started again.
type outage interface {
	Stop()
	Start()
}

// suite is what an API server must do for a client; the fake is one as far as it
// passes.
func suite(t *testing.T, start func(testing.TB) (kubeconfig string, server outage)) {
	t.Helper()
	kubeconfig, server := start(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"changes":  testChanges,
		"one":      testOneByOne,
		"node":     testNode,
		"annotate": testAnnotate,
		"events":   testEvents,
	} {
		t.Run(name, func(t *testing.T) { test(t, newCluster(t, kubeconfig)) })
	}
	t.Run("outage", func(t *testing.T) { testOutage(t, newCluster(t, kubeconfig), server) })
}

func TestFake(t *testing.T) {
	suite(t, func(t testing.TB) (string, outage) {
		t.Helper()
		s := fake.New(t)
		return s.Kubeconfig(), s
	})
}

// Everything is listed first, and then told in order: pods of this node alone.
func testChanges(t *testing.T, c *cluster) {
	t.Helper()
	c.pod("a", "here", "1")
	c.pod("other", "there", "1")
	r := follow(t, c.client())
	r.await(t, `listed ["a 1"]`)
	c.wish("a", "2")
	c.wish("other", "2")
	c.pod("b", "here", "1")
	c.remove("a")
	c.pod("a", "here", "3")
	c.remove("b")
	c.remove("other")
	c.remove("a")
	r.await(t, "deleted a 3")
	// A pod on a node is marked before it goes.
	want := []string{
		`listed ["a 1"]`, "put a 2", "put b 1", "put a 2", "deleted a 2", "put a 3",
		"put b 1", "deleted b 1", "put a 3", "deleted a 3",
	}
	if diff := cmp.Diff(want, r.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func testOneByOne(t *testing.T, c *cluster) {
	t.Helper()
	client := c.client()
	made := c.pod("one", "here", "1")
	defer c.remove("one")
	got, found, err := client.Pod(t.Context(), "default", "one")
	if err != nil || !found || got.UID != made.UID || got.Spec.NodeName != "here" || got.Annotations["wish"] != "1" {
		t.Errorf("pod %v, %t, %v; want %v", got, found, err, made)
	}
	if _, found, err := client.Pod(t.Context(), "default", "none"); found || err != nil {
		t.Errorf("no such pod: %t, %v", found, err)
	}
	if _, found, err := client.Node(t.Context(), "none"); found || err != nil {
		t.Errorf("no such node: %t, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := client.Pod(ctx, "default", "one"); err == nil {
		t.Error("nobody waits for the answer, and it came")
	}
}

func testNode(t *testing.T, c *cluster) {
	t.Helper()
	client := c.client()
	ranges := []string{"10.244.7.0/24", "fd00:10:244:7::/64"}
	c.do(http.MethodPost, "nodes", &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "here"},
		Spec:       corev1.NodeSpec{PodCIDR: ranges[0], PodCIDRs: ranges},
	})
	c.do(http.MethodPost, "nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "there"}})
	node, found, err := client.Node(t.Context(), "here")
	if err != nil || !found || cmp.Diff(ranges, node.Spec.PodCIDRs) != "" {
		t.Errorf("node %v, %t, %v", node, found, err)
	}
	seen := make(nodeSink)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(seen)
		client.NodeNamed("here").Follow(ctx, seen)
	}()
	for node := range seen {
		if cmp.Diff(ranges, node.Spec.PodCIDRs) != "" {
			t.Errorf("followed %v", node)
		}
		cancel()
	}
}

// nodeSink passes on the nodes of the first listing.
type nodeSink chan *corev1.Node

func (s nodeSink) Listed(nodes []*corev1.Node) {
	for _, n := range nodes {
		s <- n
	}
}
func (nodeSink) Put(*corev1.Node)     {}
func (nodeSink) Deleted(*corev1.Node) {}
func (nodeSink) Reached(error)        {}

// A pod is annotated by way of its status, if it still is the one that is meant.
func testAnnotate(t *testing.T, c *cluster) {
	t.Helper()
	client := c.client()
	made := c.pod("noted", "here", "1")
	defer c.remove("noted")
	patch := `{"metadata": {"uid": %q, "annotations": {"note": "yes"}}}`
	if err := client.PatchPodStatus(t.Context(), "default", "noted", fmt.Appendf(nil, patch, made.UID)); err != nil {
		t.Fatal(err)
	}
	got, _, err := client.Pod(t.Context(), "default", "noted")
	if err != nil || got.Annotations["note"] != "yes" || got.Annotations["wish"] != "1" {
		t.Errorf("annotations %v, %v", got.Annotations, err)
	}
	err = client.PatchPodStatus(t.Context(), "default", "noted", fmt.Appendf(nil, patch, "another"))
	if !apierrors.IsInvalid(err) {
		t.Errorf("patch of an earlier pod: %v, want it to be invalid", err)
	}
	err = client.PatchPodStatus(t.Context(), "default", "none", []byte(`{}`))
	if !apierrors.IsNotFound(err) {
		t.Errorf("patch of no pod: %v", err)
	}
}

func testEvents(t *testing.T, c *cluster) {
	t.Helper()
	client := c.client()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: "web.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web"},
		Reason:         "Refused", Message: "tap1: no", Type: corev1.EventTypeWarning, Count: 1,
	}
	made, err := client.CreateEvent(t.Context(), event)
	if err != nil || made.Message != event.Message || made.ResourceVersion == "" {
		t.Fatalf("created %v, %v", made, err)
	}
	if _, err := client.CreateEvent(t.Context(), event); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	if err := client.PatchEvent(t.Context(), "default", made.Name, []byte(`{"count": 2}`)); err != nil {
		t.Error(err)
	}
	if err := client.PatchEvent(t.Context(), "default", "none", []byte(`{"count": 2}`)); !apierrors.IsNotFound(err) {
		t.Errorf("patch of no event: %v", err)
	}
}

// What happened while nobody was connected is told afterwards, and nothing twice.
func testOutage(t *testing.T, c *cluster, server outage) {
	t.Helper()
	c.pod("a", "here", "1")
	client := c.client()
	r := follow(t, client)
	r.await(t, `listed ["a 1"]`)
	c.pod("b", "here", "1")
	r.await(t, "put b 1")
	server.Stop()
	r.await(t, "reached not")
	if _, _, err := client.Pod(t.Context(), "default", "a"); err == nil {
		t.Error("a pod is read from an API server that is away")
	}
	server.Start()
	c.wish("a", "2")
	c.remove("b")
	r.await(t, "deleted b 1")
	want := []string{`listed ["a 1"]`, "put b 1", "put a 2", "put b 1", "deleted b 1"}
	if diff := cmp.Diff(want, r.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for path, want := range map[string]string{"": "set kubernetes.kubeconfig", "/no/such/file": "/no/such/file"} {
		if _, err := kube.New(kube.Options{Kubeconfig: path}); err == nil || !contains(err, want) {
			t.Errorf("kubeconfig %q: %v, want %q", path, err, want)
		}
	}
}
