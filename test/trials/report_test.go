// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/test/harness"
)

// soon is how long a pod's user waits to see what became of it.
const soon = 2 * time.Second

// read gets an object, or a list, from the API server.
func (n *apiNode) read(path string, into any) error {
	settings, err := clientcmd.BuildConfigFromFlags("", n.Config.Kubernetes.Kubeconfig)
	if err != nil {
		return err
	}
	response, err := http.Get(settings.Host + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

// expectStatus waits until a pod's annotation lists these interfaces.
func (n *apiNode) expectStatus(pod, want string, limit time.Duration) {
	n.TB.Helper()
	harness.Eventually(n.TB, harness.Patience(limit), func() error {
		var object corev1.Pod
		if err := n.read("namespaces/default/pods/"+pod, &object); err != nil {
			return err
		}
		text := object.Annotations[podif.NetworkStatusAnnotation]
		var list []struct {
			Name, Interface string
			IPs             []string
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return fmt.Errorf("annotation %q of %s: %w", text, pod, err)
		}
		var found []string
		for _, i := range list {
			found = append(found, fmt.Sprintf("%s %s %s", i.Name, i.Interface, i.IPs))
		}
		if got := strings.Join(found, ", "); got != want {
			return fmt.Errorf("annotation of %s: %s, want %s", pod, got, want)
		}
		return nil
	})
}

// expectEvents waits until these are a pod's Events.
func (n *apiNode) expectEvents(pod string, want ...string) {
	n.TB.Helper()
	harness.Eventually(n.TB, harness.Patience(soon), func() error {
		var list corev1.EventList
		if err := n.read("events", &list); err != nil {
			return err
		}
		var found []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name == pod {
				found = append(found, e.Reason+" "+e.Message)
			}
		}
		if slices.Sort(found); !slices.Equal(found, want) {
			return fmt.Errorf("Events of %s: %q, want %q", pod, found, want)
		}
		return nil
	})
}

// A pod's user sees what it has, why it does not start, and what may not be meant
// so; and a pod starts once what was wrong is corrected.
func TestUsersSeeWhatBecomesOfTheirPods(t *testing.T) {
	n := newAPINode(t)
	n.putNode(nil, "10.244.3.0/24")
	n.WaitReady()
	web := n.pod("web", "u1", "tap1/tap, veth1/veth/stub,")
	web.MustAdd()
	n.expectStatus("web", "polynic eth0 [10.244.3.2], polynic tap1 [10.244.3.3], stub veth1 []", soon)
	n.expectEvents("web", "AnnotationWarning contivpp.io/custom-if: an empty element is skipped; remove the comma that is too many")

	bad := n.pod("bad", "u2", "tap1/Tap")
	for range 3 {
		if _, err := bad.Add(); err == nil {
			t.Fatal("Tap is no type, and the pod is served")
		}
	}
	const reason = `InterfaceRefused contivpp.io/custom-if: interface "tap1": type "Tap" is not known (want tap, veth or memif); did you mean "tap"?`
	n.expectEvents("bad", reason)
	good := n.pod("bad", "u2", "tap1/tap")
	harness.Eventually(t, time.Minute, func() error {
		_, err := good.Add()
		return err
	})
	n.expectStatus("bad", "polynic eth0 [10.244.3.4], polynic tap1 [10.244.3.5]", soon)
	n.expectEvents("bad", reason)
	bad.Destroy()
	good.MustDel()
	web.MustDel()
}

// What an agent did not come to write, the next one writes, also when the API
// server was away longer than the agent.
func TestTheNextAgentAnnotates(t *testing.T) {
	n := newAPINode(t)
	known, first := n.pod("web", "u1", "tap1/tap"), n.pod("first", "u2", "")
	n.putNode(nil, "10.244.3.0/24")
	n.WaitReady() // which it is when it has heard of both
	first.MustAdd()
	n.expectStatus("first", "polynic eth0 [10.244.3.2]", soon)
	n.api.Stop()
	known.MustAdd()
	n.RestartAgent()
	n.api.Start()
	n.expectStatus("web", "polynic eth0 [10.244.3.3], polynic tap1 [10.244.3.4]", time.Minute)
	if patches := n.api.Requests("PATCH /api/v1/namespaces/default/pods/"); len(patches) > 2 {
		t.Errorf("each pod is written once: %q", patches)
	}
	known.MustDel()
}
