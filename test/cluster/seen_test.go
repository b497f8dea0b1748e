// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/test/controlplane"
)

// everyKind is a pod with an interface of every kind.
const everyKind = `
apiVersion: v1
kind: Pod
metadata: {name: seen, annotations: {contivpp.io/custom-if: "tap1/tap, veth1/veth, memif1/memif, memif2/memif/stub, stub1/tap/stub,"}}
spec:
  containers: [{name: shell, image: shell, resources: {limits: {contivpp.io/memif: 1}}}]
`

// mendable is a pod that is refused until its annotation is corrected. Kubelet
// never starts its containers twice.
const mendable = `
apiVersion: v1
kind: Pod
metadata: {name: mendable, labels: {app: mendable}, annotations: {contivpp.io/custom-if: tap1/Tap}}
spec:
  restartPolicy: Never
  containers: [{name: shell, image: shell}]
`

// seen is what a user sees of a pod's interfaces, and of one that cannot have its.
func (s suite) seen() {
	s.Apply(everyKind)
	s.waitPods(1)
	s.expectAnnotation("seen")
	s.expectEvent("seen", "AnnotationWarning", "an empty element is skipped", 1)
	s.expectEvent("seen", "FewMemifDevices", "2 memif interfaces, and only 1", 1)
	s.Kubectl("delete", "pod", "seen")

	s.Apply(mendable)
	event := s.expectEvent("mendable", "InterfaceRefused", `interface "tap1": type "Tap" is not known`, 1)
	kubelets := s.expectEvent("mendable", "FailedCreatePodSandBox", "Tap", 1)
	if late := event.FirstTimestamp.Sub(kubelets.FirstTimestamp.Time); late > 2*time.Second {
		s.t.Errorf("the refusal is told %s after kubelet met it", late)
	}
	again := s.expectEvent("mendable", "InterfaceRefused", "Tap", 2)
	if again.Name != event.Name {
		s.t.Errorf("Event %s is followed by %s", event.Name, again.Name)
	}
	s.t.Logf("%s", s.Kubectl("describe", "pod", "mendable"))
	began := time.Now()
	s.Kubectl("annotate", "--overwrite", "pod", "mendable", "contivpp.io/custom-if=tap1/tap")
	s.waitPods(1, "-l", "app=mendable")
	s.t.Logf("corrected, and ready %s later", time.Since(began).Round(time.Millisecond))
	s.expectAnnotation("mendable")
	s.Kubectl("delete", "pod", "mendable")
}

// expectAnnotation waits until a pod's annotation says of each interface what the
// agent does.
func (s suite) expectAnnotation(pod string) {
	s.t.Helper()
	var want []string
	for _, i := range s.agent.Interfaces() {
		if i.Pod != pod {
			continue
		}
		words := []string{fmt.Sprintf("%s %s %s %d", i.Name, i.MAC, i.Type, i.MTU)}
		for _, ip := range i.IPs {
			words = append(words, ip.Addr().String())
		}
		if i.Memif != nil {
			words = append(words, fmt.Sprintf("%s id %d in %s", i.Memif.Socket, i.Memif.ID, i.Memif.Container))
		}
		want = append(want, strings.Join(words, " "))
	}
	controlplane.Eventually(s.t, 5*time.Second, func() error {
		text := s.Kubectl("get", "pod", pod, "-o", `jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}`)
		got, err := summary(text)
		if err == nil && (got != strings.Join(want, "\n") || len(want) == 0) {
			err = fmt.Errorf("annotation\n%s\nof\n%s", text, strings.Join(want, "\n"))
		}
		return err
	})
}

// summary is an annotation with a line an interface.
func summary(text string) (string, error) {
	var list []struct {
		Interface, MAC string
		MTU            int
		IPs            []string
		Device         struct {
			Memif struct{ Path string }
		} `json:"device-info"`
		Type      string `json:"io.contivpp.type"`
		ID        int    `json:"io.contivpp.memif-id"`
		Container string `json:"io.contivpp.memif-container"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return "", fmt.Errorf("annotation %q: %w", text, err)
	}
	var lines []string
	for _, i := range list {
		words := append([]string{fmt.Sprintf("%s %s %s %d", i.Interface, i.MAC, i.Type, i.MTU)}, i.IPs...)
		if i.Container != "" {
			words = append(words, fmt.Sprintf("%s id %d in %s", i.Device.Memif.Path, i.ID, i.Container))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n"), nil
}

// expectEvent waits until a pod has one Event of a reason, which says that, at
// least so often.
func (s suite) expectEvent(pod, reason, says string, count int32) corev1.Event {
	s.t.Helper()
	var list corev1.EventList
	controlplane.Eventually(s.t, time.Minute, func() error {
		text := s.Kubectl("get", "events", "--field-selector", "involvedObject.name="+pod+",reason="+reason, "-o", "json")
		list = corev1.EventList{}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Count < count || !strings.Contains(list.Items[0].Message, says) {
			return fmt.Errorf("Events %s of %s, want one that says %q, %d times:\n%s", reason, pod, says, count, text)
		}
		return nil
	})
	return list.Items[0]
}
