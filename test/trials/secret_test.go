// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/internal/lab/etcd"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/harness"
)

// startEtcd starts an etcd that ends with the test, and gives a client of it and
// where it serves.
func startEtcd(t *testing.T) (*clientv3.Client, string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	dir := t.TempDir()
	file := filepath.Join(dir, "endpoint")
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := etcd.Serve(ctx, etcd.Config{Data: filepath.Join(dir, "data"), Endpoint: file, Netns: "/proc/thread-self/ns/net"}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(stop)
	var at etcd.Endpoint
	harness.Eventually(t, 20*time.Second, func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &at)
	})
	client, err := store.Dial(clientv3.Config{Endpoints: []string{at.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client, at.URL
}

// The secret of a memif is in etcd, in the container's environment and in the
// files that only root reads, and nowhere that people look: in no log, however
// much is logged, no Event and no annotation, no answer of the agent, no error.
func TestSecretIsNowhere(t *testing.T) {
	client, endpoint := startEtcd(t)
	n := &apiNode{api: fake.New(t)}
	n.Node = harness.NewNode(t, func(c *config.Config) {
		harness.WithMemifs(c)
		c.PodSource, c.Kubernetes.Kubeconfig = "kubernetes", n.api.Kubeconfig()
		c.NodeID, c.Network.Subnets = 0, nil
		c.Etcd.Endpoints = []string{endpoint}
	})
	n.putNode(nil, ranges...)
	n.StartRelay()
	n.StartAgent()
	n.WaitReady()
	baseline := n.MustLook()
	first, second := n.labelledPod("first", "u1"), n.labelledPod("second", "u2")
	first.MustAdd()
	key := "/vnf-agent/vnf1/config/vpp/v2/interfaces/memif1"
	secret := first.Grant().Env["MEMIF_SECRET"]
	stored, err := client.Get(t.Context(), key)
	if err != nil || len(stored.Kvs) != 1 || secret == "" || !strings.Contains(string(stored.Kvs[0].Value), secret) {
		t.Fatalf("%d keys are in etcd, %v, want one with the secret (of %d bytes)", len(stored.Kvs), err, len(secret))
	}
	_, err = second.Add()
	expectRefused(t, err, cniwire.CodeRefused, "vnf1", "default/first", "default/second")
	said := []string{err.Error()}

	// What others alter is repaired, which is logged, and so is another agent's start.
	if _, err := client.Put(t.Context(), key, "not "+secret); err != nil {
		t.Fatal(err)
	}
	n.eventuallyStored(client, key, string(stored.Kvs[0].Value))
	n.RestartAgent()
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	n.eventuallyStored(client, key, string(stored.Kvs[0].Value))

	said = append(said, n.everythingSaid()...)
	first.MustDel()
	second.MustDel()
	harness.Eventually(t, 10*time.Second, func() error {
		left, err := client.Get(t.Context(), "/", clientv3.WithPrefix())
		if err == nil && len(left.Kvs) > 0 {
			err = fmt.Errorf("%d keys are left, %s is the first", len(left.Kvs), left.Kvs[0].Key)
		}
		return err
	})
	for _, file := range []string{"agent.log", "relay.log"} {
		text, err := os.ReadFile(filepath.Join(n.Dir, file))
		if err != nil {
			t.Error(err)
		}
		said = append(said, string(text))
	}
	if !strings.Contains(strings.Join(said, "\n"), "level=DEBUG") {
		t.Error("nothing is logged at the level debug")
	}
	for i, text := range said {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("the secret is in text %d: %.200s", i, text[max(0, at-100):])
		}
	}
	first.Destroy()
	second.Destroy()
	n.ExpectClean(baseline)
}

func (n *apiNode) labelledPod(name, uid string) *harness.Pod {
	n.TB.Helper()
	n.api.Put("namespaces/default/pods/"+name, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid), Annotations: map[string]string{
			"contivpp.io/custom-if": "memif1/memif", "contivpp.io/microservice-label": "vnf1",
		}},
		Spec: corev1.PodSpec{NodeName: "node1"},
	})
	// As kubelet does before it has a sandbox made.
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid)}}
	pod.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{podif.MemifResource: resource.MustParse("1")},
	}}}
	if err := n.Kubelet.Admit(context.Background(), pod); err != nil {
		n.TB.Fatal(err)
	}
	return n.Sandbox(name, uid)
}

// everythingSaid is what people can ask the agent for, and what is in the cluster.
func (n *apiNode) everythingSaid() []string {
	n.TB.Helper()
	client := inspect.NewClient(n.Config.InspectSocket())
	interfaces, err1 := client.Interfaces(context.Background())
	plan, err2 := client.Plan(context.Background())
	status, err3 := client.Status(context.Background())
	var events, pods any
	err := errors.Join(err1, err2, err3, n.read("events", &events), n.read("namespaces/default/pods", &pods))
	answers, err4 := json.Marshal([]any{interfaces, status, events, pods})
	if err := errors.Join(err, err4); err != nil {
		n.TB.Fatal(err)
	}
	return []string{plan, string(answers)}
}

func (n *apiNode) eventuallyStored(client *clientv3.Client, key, value string) {
	n.TB.Helper()
	harness.Eventually(n.TB, 10*time.Second, func() error {
		found, err := client.Get(context.Background(), key)
		if err == nil && (len(found.Kvs) != 1 || string(found.Kvs[0].Value) != value) {
			err = fmt.Errorf("%s is not what it was", key)
		}
		return err
	})
}
