// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"errors"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
)

// redirect is what the agent of node1 writes of a pod.
func redirect() *discoveryv1.EndpointSlice {
	node := "node1"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "polynic-uid-1-4", Namespace: "default",
			Labels:          map[string]string{"contivpp.io/service-redirect": "true", "service.kubernetes.io/service-proxy-name": "polynic"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web", UID: "uid-1"}},
		},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.2"}, NodeName: &node}},
	}
}

// An agent writes where the pods of its node serve, and no other endpoint slice;
// others write none of these.
func TestRedirectsAreNarrowed(t *testing.T) {
	p := loadPolicy(t, "narrow-redirects.yaml")
	somebody := &user.DefaultInfo{Name: "somebody"}
	plain := func() *discoveryv1.EndpointSlice {
		s := redirect()
		s.Name, s.Labels = "web-1", map[string]string{"kubernetes.io/service-name": "web"}
		return s
	}
	changed := func(change func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
		s := redirect()
		change(s)
		return s
	}
	for name, c := range map[string]struct {
		who           user.Info
		before, after *discoveryv1.EndpointSlice // nil for none
		want          string                     // in the refusal; empty for none
	}{
		"its own":          {agentOn("node1"), nil, redirect(), ""},
		"another address":  {agentOn("node1"), redirect(), changed(func(s *discoveryv1.EndpointSlice) { s.Endpoints[0].Addresses[0] = "10.1.0.3" }), ""},
		"deletes its own":  {agentOn("node1"), redirect(), nil, ""},
		"of another node":  {agentOn("node2"), nil, redirect(), "own node"},
		"takes another's":  {agentOn("node2"), redirect(), changed(func(s *discoveryv1.EndpointSlice) { *s.Endpoints[0].NodeName = "node2" }), "own node"},
		"deletes another":  {agentOn("node2"), redirect(), nil, "own node"},
		"a token of none":  {agentOn(), nil, redirect(), "own node"},
		"a service's":      {agentOn("node1"), nil, plain(), "alone"},
		"alters another's": {agentOn("node1"), plain(), redirect(), "alone"},
		"deletes any":      {agentOn("node1"), plain(), nil, "alone"},
		"for a service too": {agentOn("node1"), nil, changed(func(s *discoveryv1.EndpointSlice) {
			s.Labels["kubernetes.io/service-name"] = "web"
		}), "alone"},
		"seen by kube-proxy": {agentOn("node1"), nil, changed(func(s *discoveryv1.EndpointSlice) {
			delete(s.Labels, "service.kubernetes.io/service-proxy-name")
		}), "alone"},
		"of another name": {agentOn("node1"), nil, changed(func(s *discoveryv1.EndpointSlice) { s.Name = "polynic-uid-2-4" }), "named after its pod"},
		"of no pod":       {agentOn("node1"), nil, changed(func(s *discoveryv1.EndpointSlice) { s.OwnerReferences = nil }), "named after its pod"},
		"somebody's":      {somebody, nil, redirect(), "polynic's agents alone"},
		"somebody alters it": {somebody, redirect(), changed(func(s *discoveryv1.EndpointSlice) {
			delete(s.Labels, "contivpp.io/service-redirect")
		}), "polynic's agents alone"},
		"somebody deletes it":     {somebody, redirect(), nil, ""},
		"somebody, a service's":   {somebody, nil, plain(), ""},
		"somebody alters service": {somebody, plain(), plain(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{kind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), user: c.who}
			r.object, r.before = orNone(c.after), orNone(c.before)
			err := p.judge(r)
			if errors.Is(err, errPolicy) || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("refusal %v, want %q", err, c.want)
			}
		})
	}
}

func orNone(s *discoveryv1.EndpointSlice) runtime.Object {
	if s == nil {
		return nil
	}
	return s
}
