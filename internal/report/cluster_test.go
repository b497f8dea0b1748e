// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/need"
)

// rights are those of docs/kubernetes.md, and no more.
const rights = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: default}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reporter}, rules: [
  {apiGroups: [""], resources: [pods/status], verbs: [patch]},
  {apiGroups: [""], resources: [events], verbs: [create, patch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: reporter},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reporter},
  subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: agent}]}
`

func TestRealAPIServer(t *testing.T) {
	need.Root(t)
	plane := controlplane.Start(t, controlplane.Config{})
	plane.Apply(rights)
	testOverHTTP(t, connect(t, plane.Kubeconfig("admin", "system:masters")))

	pod := model.PodRef{Namespace: "default", Name: "seen"}
	plane.Apply(`{apiVersion: v1, kind: Pod, metadata: {name: seen}, spec: {nodeName: node-1, containers: [{name: c, image: none}]}}`)
	field := func(path string) string { return plane.Kubectl("get", "pod", "seen", "-o", "jsonpath={"+path+"}") }
	pod.UID = field(".metadata.uid")

	client := connect(t, plane.Kubeconfig("agent")).client
	r := New(Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), API: client, Pods: &pods{}, NodeName: "node-1", NetworkStatus: true})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	idle := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, waits := r.jobs[statusKey(pod)]
		return !waits
	}

	// What a user sees.
	s := &server{t: t}
	for n := range 3 {
		r.Added(ctx, ask(pod), attach.Result{}, refusal(cniwire.CodeRefused, fmt.Sprintf("pod default/seen: tap%d: no", n)))
	}
	r.Added(ctx, ask(pod), everything(), nil)
	shown := regexp.MustCompile(`Warning +InterfaceRefused +\S+ \(x3 over \S+\) +polynic-agent +tap2: no`)
	var page string
	defer func() {
		if t.Failed() {
			t.Log(page)
		}
	}()
	s.eventually("describe shows one Event with a count", func() bool {
		page = plane.Kubectl("describe", "pod", "seen")
		return shown.MatchString(page)
	})
	s.eventually("the annotation is written", idle)
	want, err := NetworkStatus("polynic", everything())
	if err != nil {
		t.Fatal(err)
	}
	if got := field(`.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status`); got != want {
		t.Errorf("annotation\n%s", got)
	}

	// The same again is not stored.
	version := field(".metadata.resourceVersion")
	r.Added(ctx, ask(pod), everything(), nil)
	s.eventually("it is sent again", idle)
	if now := field(".metadata.resourceVersion"); now != version {
		t.Errorf("the pod has version %s, and had %s", now, version)
	}

	// While the API server is away things wait.
	plane.StopServer()
	r.Added(ctx, ask(pod), wired("10.1.1.9/32"), nil)
	s.eventually("it is found to be away", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.failing
	})
	plane.StartServer()
	s.eventually("the annotation follows", idle)
	if got := field(`.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status`); !strings.Contains(got, "10.1.1.9") {
		t.Errorf("annotation\n%s", got)
	}
}
