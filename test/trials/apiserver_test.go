// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/test/harness"
)

// apiNode is a node whose pods come from an API server.
type apiNode struct {
	*harness.Node
	api *fake.Server
}

// newAPINode is a node that the API server knows nothing of yet; relay and agent
// run.
func newAPINode(t *testing.T, subnets ...config.Subnet) *apiNode {
	t.Helper()
	n := &apiNode{api: fake.New(t)}
	n.Node = harness.NewNode(t, func(c *config.Config) {
		c.PodSource, c.Kubernetes.Kubeconfig = "kubernetes", n.api.Kubeconfig()
		c.NodeID, c.Network.Subnets = 0, subnets
	})
	n.StartRelay()
	n.StartAgent()
	return n
}

// ranges are those of the node, where a test does not care.
var ranges = []string{"10.244.3.0/24", "fd00:10:244:3::/64"}

func (n *apiNode) putNode(annotations map[string]string, podCIDRs ...string) {
	n.api.Put("nodes/node1", &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node1", Annotations: annotations}, Spec: corev1.NodeSpec{PodCIDRs: podCIDRs},
	})
}

// pod has the API server know a pod, and makes its sandbox.
func (n *apiNode) pod(name, uid, annotation string) *harness.Pod {
	n.TB.Helper()
	n.api.Put("namespaces/default/pods/"+name, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(uid), Annotations: map[string]string{"contivpp.io/custom-if": annotation},
		},
		Spec: corev1.PodSpec{NodeName: "node1"},
	})
	return n.Sandbox(name, uid)
}

func (n *apiNode) problem(words string) {
	n.TB.Helper()
	harness.Eventually(n.TB, time.Minute, func() error {
		status, err := n.Status()
		if err == nil && !strings.Contains(fmt.Sprint(status.Problems), words) {
			err = fmt.Errorf("problems: %v, want %q", status.Problems, words)
		}
		return err
	})
}

// A node waits for its ranges, and says so; then it has both families, whatever
// their order.
func TestNodeGetsItsRanges(t *testing.T) {
	n := newAPINode(t)
	n.api.Stop()
	n.problem("the API server does not tell")
	n.api.Start()
	n.problem("no such node")
	n.putNode(nil)
	n.problem("node node1: no spec.podCIDRs")
	expectRefused(t, n.CNIStatus(), cniwire.CodeNotAvailable, "not ready until the node's pod ranges are known", "--allocate-node-cidrs")
	early := n.pod("early", "u1", "tap1/tap")
	early.MustDel()
	if got := n.Interfaces(); len(got) != 0 {
		t.Errorf("interfaces: %v", got)
	}
	n.putNode(nil, "10.244.3.0/30")
	n.problem("pod range 10.244.3.0/30: no room for pods")
	n.putNode(nil, "fd00:10:244:3::/64", "10.244.3.0/24")
	n.WaitReady()
	baseline := n.MustLook()
	pod := n.pod("web", "u2", "tap1/tap, veth1/veth/stub")
	result := pod.MustAdd()
	for i, want := range []string{"10.244.3.2", "fd00:10:244:3::2"} {
		if got := harness.IP(result, "eth0", i); got != want {
			t.Errorf("eth0 has %s, want %s", got, want)
		}
	}
	pod.MustDel()
	pod.Destroy()
	n.ExpectClean(baseline)
}

// Where the cluster gives no ranges, the node's number cuts them out of the subnets.
func TestNumberedNode(t *testing.T) {
	n := newAPINode(t, config.Default().Network.Subnets...)
	n.putNode(map[string]string{"contivpp.io/node-id": "two"})
	n.problem(`"two" is not a number from 1`)
	n.putNode(map[string]string{"contivpp.io/node-id": "257"})
	n.problem("node id 257 is not between 1 and 256")
	n.putNode(map[string]string{"contivpp.io/node-id": "2"})
	n.WaitReady()
	pod := n.pod("web", "u1", "")
	if got := harness.IP(pod.MustAdd(), "eth0", 0); got != "10.1.2.2" {
		t.Errorf("eth0 has %s", got)
	}
	pod.MustDel()
}

// What runs does not notice that the API server is away; pods that are known start,
// others are told to try again; and an agent that starts meanwhile is ready.
func TestAPIServerIsAway(t *testing.T) {
	n := newAPINode(t)
	first, second := n.pod("first", "u1", "tap1/tap"), n.pod("second", "u2", "veth1/veth")
	n.putNode(nil, ranges...)
	n.WaitReady() // which it is when it has heard of both
	result := first.MustAdd()
	n.api.Stop()
	n.problem("the API server has been away since")
	second.MustAdd()
	if err := second.Ping("veth1", harness.IP(result, "tap1", 0)); err != nil {
		t.Error(err)
	}
	began := time.Now()
	_, err := n.Sandbox("unknown", "u4").Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "pod default/unknown: cannot read what it asks for: the API server does not tell")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refused after %s", took)
	}
	second.MustDel()
	n.api.Start()
	n.api.Stall()
	began = time.Now()
	_, err = n.Sandbox("unknown", "u4").Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "the API server does not tell", "deadline exceeded")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refused after %s", took)
	}
	n.api.Stop()
	n.api.Resume()

	n.RestartAgent()
	if err := n.CNIStatus(); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	expectWired(t, first, result)
	if again := first.MustAdd(); harness.IP(again, "tap1", 0) != harness.IP(result, "tap1", 0) {
		t.Errorf("ADD repeated: %v, first %v", again, result)
	}
	_, err = n.Sandbox("second", "u2").Add()
	expectRefused(t, err, cniwire.CodeTryAgainLater, "the API server does not tell")

	n.api.Start()
	n.pod("new", "u5", "tap1/tap").MustAdd()
	harness.Eventually(t, time.Minute, func() error {
		status, err := n.Status()
		if err == nil && len(status.Problems) > 0 {
			err = fmt.Errorf("problems: %v", status.Problems)
		}
		return err
	})
	first.MustDel()
}

// The watch may be behind: a pod that is not known, or is another by its UID, is
// read as it is. What it says is gone stays until DEL.
func TestWatchIsBehind(t *testing.T) {
	n := newAPINode(t)
	n.putNode(nil, ranges...)
	n.WaitReady()
	old := n.pod("web", "u1", "tap1/tap")
	result := old.MustAdd()
	n.api.Hold()
	renewed := n.pod("web", "u2", "veth1/veth, veth2/veth")
	if got := len(renewed.MustAdd().IPs); got != 6 {
		t.Errorf("%d addresses", got)
	}
	n.pod("fresh", "u3", "tap1/tap").MustAdd()
	_, err := n.Sandbox("web", "u0").Add()
	expectRefused(t, err, cniwire.CodeRefused, "has UID u2 now")
	n.api.Remove("namespaces/default/pods/web")
	n.api.Release()
	n.pod("last", "u4", "").MustAdd()
	expectWired(t, old, result)
	if err := old.Check(); err != nil {
		t.Error(err)
	}
	old.MustDel()
	renewed.MustDel()
}

// A static pod is shown in the API by another of another UID.
func TestStaticPod(t *testing.T) {
	n := newAPINode(t)
	n.putNode(nil, ranges...)
	n.WaitReady()
	n.api.Put("namespaces/default/pods/static-node1", &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "static-node1", UID: "mirror", Annotations: map[string]string{
			"contivpp.io/custom-if": "tap1/tap", "kubernetes.io/config.mirror": "hash", "kubernetes.io/config.hash": "hash",
		}},
		Spec: corev1.PodSpec{NodeName: "node1"},
	})
	pod := n.Sandbox("static-node1", "hash")
	if got := len(pod.MustAdd().IPs); got != 4 {
		t.Errorf("%d addresses", got)
	}
	pod.MustDel()
}

// Ranges that change are not taken from running pods; with none left they are.
func TestRangesChange(t *testing.T) {
	n := newAPINode(t)
	n.putNode(nil, ranges...)
	n.WaitReady()
	pod := n.pod("web", "u1", "tap1/tap")
	result := pod.MustAdd()
	n.putNode(nil, "10.244.9.0/24")
	n.problem("they were [10.244.3.0/24 fd00:10:244:3::/64], and the cluster says [10.244.9.0/24]")
	n.RestartAgent()
	n.problem("they were [10.244.3.0/24 fd00:10:244:3::/64], and the cluster says [10.244.9.0/24]")
	expectWired(t, pod, result)
	other := n.pod("other", "u2", "tap1/tap")
	if err := pod.Ping("eth0", harness.IP(other.MustAdd(), "tap1", 0)); err != nil {
		t.Error(err)
	}
	other.MustDel()
	pod.MustDel()
	harness.Eventually(t, harness.Patience(waitForPod), func() error {
		if left := n.Interfaces(); len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	n.putNode(map[string]string{"any": "change"}, "10.244.9.0/24")
	if !n.ReviveAgent(time.Minute) {
		t.Fatal("the agent goes on with ranges that the cluster gave to others")
	}
	again := n.pod("again", "u3", "")
	if got := harness.IP(again.MustAdd(), "eth0", 0); got != "10.244.9.2" {
		t.Errorf("eth0 has %s", got)
	}
	again.MustDel()
}
