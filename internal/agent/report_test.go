// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/config"
	dataplanefake "github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/kube/fake"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/reconcile"
)

// What becomes of ADDs reaches the API server, and requests reach the pod path.
func TestUsersAreToldOfADDs(t *testing.T) {
	api := fake.New(t)
	api.Put("namespaces/default/pods/web", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "web", UID: "uid", Annotations: map[string]string{"theirs": "stays"},
	}})
	o := Options{Log: slog.New(slog.DiscardHandler), Config: config.Default()}
	o.Config.PodSource, o.Config.NodeName, o.Config.Kubernetes.Kubeconfig = "kubernetes", "node-1", api.Kubeconfig()
	c, err := openCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	a := &agent{Options: o, cluster: c, inventory: inventory.New()}
	a.reporter = newReporter(o, c, a.inventory)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.reporter.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	var refusal error = &attach.Error{Code: cniwire.CodeRefused, Err: errors.New("tap1: no")}
	verbs := &recorder.Recorder{OnAdd: func(context.Context, attach.Request) (attach.Result, error) {
		return attach.Result{Interfaces: []attach.ResultInterface{{Name: "eth0", Type: podif.Veth, Network: "default"}}}, refusal
	}}
	told := a.tellOf(verbs)
	r := attach.Request{
		ID: model.AttachmentID{ContainerID: "c", IfName: "eth0"}, Network: "polynic",
		Pod: model.PodRef{Namespace: "default", Name: "web", UID: "uid"},
	}
	if _, err := told.Add(ctx, r); !errors.Is(err, refusal) {
		t.Errorf("error %v, want the refusal", err)
	}
	await(t, "an Event", func() bool {
		return len(api.Requests("POST /api/v1/namespaces/default/events")) == 1
	})
	refusal = nil
	if made, err := told.Add(ctx, r); err != nil || len(made.Interfaces) != 1 {
		t.Errorf("%v, %v", made, err)
	}
	await(t, "the annotation", func() bool {
		pod, _, err := c.client.Pod(ctx, "default", "web")
		var list []map[string]any
		return err == nil && json.Unmarshal([]byte(pod.Annotations[podif.NetworkStatusAnnotation]), &list) == nil && list[0]["name"] == "polynic"
	})
	a.warner().Warn(r.Pod, attach.Annotation, "a comma too many")
	await(t, "another Event", func() bool {
		return len(api.Requests("POST /api/v1/namespaces/default/events")) == 2
	})
	if err := told.Del(ctx, r); err != nil {
		t.Error(err)
	}
	var calls []string
	for _, c := range verbs.Calls() {
		calls = append(calls, c.Verb)
	}
	if got := strings.Join(calls, " "); got != "ADD ADD DEL" {
		t.Errorf("the pod path was asked %s", got)
	}
}

// Without a cluster there is nobody to tell.
func TestNobodyIsTold(t *testing.T) {
	a := &agent{reporter: newReporter(Options{}, nil, nil)}
	verbs := &recorder.Recorder{}
	if a.warner() != nil || a.tellOf(verbs) != verbs {
		t.Error("somebody is told")
	}
}

// Rounds see how the reconciler fares with a sandbox.
func TestRoundsSeeWhatFails(t *testing.T) {
	driver := dataplanefake.New()
	r := reconcile.New(driver, reconcile.Options{Log: slog.New(slog.DiscardHandler), RepairInterval: time.Minute})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	id := model.AttachmentID{ContainerID: "c", IfName: "eth0"}
	n := rounds{&agent{reconciler: r, inventory: inventory.New()}}
	n.inventory.PutAttachment(model.Attachment{ID: id})
	if err := n.Failing(id); err != nil {
		t.Errorf("failing before anything is wanted: %v", err)
	}
	neighbour := desired.Neighbor{Owner: id, Network: "nowhere", Interface: "eth0", IP: netip.MustParseAddr("10.1.1.2")}
	if err := r.Apply(ctx, id, []desired.Object{neighbour}); err == nil {
		t.Error("a neighbour in no network is made")
	}
	if err := n.Failing(id); err == nil || len(n.Attachments()) != 1 {
		t.Errorf("failing: %v, of %v", err, n.Attachments())
	}
	r.Set(id, nil)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}
