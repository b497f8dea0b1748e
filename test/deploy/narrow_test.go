// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

const networkStatus = "k8s.v1.cni.cncf.io/network-status"

// agentOn is the agent on a node, as the API server knows it by its token.
func agentOn(nodes ...string) user.Info {
	extra := map[string][]string{}
	if nodes != nil {
		extra["authentication.kubernetes.io/node-name"] = nodes
	}
	return &user.DefaultInfo{Name: "system:serviceaccount:" + namespace + ":polynic-agent", Extra: extra}
}

// An agent may write its annotation to pods of its node, and nothing else; to
// others the policy does not apply.
func TestAgentIsNarrowed(t *testing.T) {
	p := loadPolicy(t, "narrow-agent.yaml")
	for name, c := range map[string]struct {
		who    user.Info
		change func(*corev1.Pod)
		want   string // in the refusal; empty for none
	}{
		"its annotation":                {agentOn("node1"), func(p *corev1.Pod) { p.Annotations[networkStatus] = "[]" }, ""},
		"nothing":                       {agentOn("node1"), func(*corev1.Pod) {}, ""},
		"of another node":               {agentOn("node2"), func(p *corev1.Pod) { p.Annotations[networkStatus] = "[]" }, "own node"},
		"of no node":                    {agentOn("node1"), func(p *corev1.Pod) { p.Spec.NodeName = "" }, "own node"},
		"a token of no pod":             {agentOn(), func(p *corev1.Pod) { p.Annotations[networkStatus] = "[]" }, "own node"},
		"a token with an empty claim":   {agentOn([]string{}...), func(p *corev1.Pod) {}, "own node"},
		"another annotation":            {agentOn("node1"), func(p *corev1.Pod) { p.Annotations["contivpp.io/custom-if"] = "a/tap" }, networkStatus + " alone"},
		"another annotation altered":    {agentOn("node1"), func(p *corev1.Pod) { p.Annotations["theirs"] = "b" }, networkStatus + " alone"},
		"another annotation taken away": {agentOn("node1"), func(p *corev1.Pod) { delete(p.Annotations, "theirs") }, networkStatus + " alone"},
		"all annotations taken away":    {agentOn("node1"), func(p *corev1.Pod) { p.Annotations = nil }, networkStatus + " alone"},
		"the phase":                     {agentOn("node1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, "annotations alone"},
		"an address":                    {agentOn("node1"), func(p *corev1.Pod) { p.Status.PodIP = "10.1.1.9" }, "annotations alone"},
		"a label":                       {agentOn("node1"), func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, "annotations alone"},
		"a finalizer":                   {agentOn("node1"), func(p *corev1.Pod) { p.Finalizers = []string{"a/b"} }, "annotations alone"},
		"kubelet, the phase":            {&user.DefaultInfo{Name: "system:node:node1"}, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := podWith(map[string]string{"theirs": "a"})
			before.Spec.NodeName = "node1"
			before.Status.Phase = corev1.PodRunning
			after := before.DeepCopy()
			c.change(after)
			err := p.judge(request{kind: podKind, object: after, before: before, subresource: "status", user: c.who})
			if errors.Is(err, errPolicy) || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("refusal %v, want %q", err, c.want)
			}
		})
	}
}
