// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/polynic/polynic/api/podif"
)

// workloads are the kinds that make pods, beside pods themselves.
func workloads() []schema.GroupVersionKind {
	kinds := []schema.GroupVersionKind{podKind, {Version: "v1", Kind: "ReplicationController"}}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"} {
		kinds = append(kinds, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind})
	}
	return append(kinds, schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"},
		schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "CronJob"})
}

// workload is an object with annotations of its own and of its pods; of a pod
// they are the same.
func workload(t *testing.T, kind schema.GroupVersionKind, own, pods string) runtime.Object {
	t.Helper()
	metadata := func(value string) string {
		if value == "" {
			return "{}"
		}
		text, err := json.Marshal(map[string]any{"annotations": map[string]string{podif.CustomIfAnnotation: value}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	spec := fmt.Sprintf(`{"template": {"metadata": %s}}`, metadata(pods))
	switch kind.Kind {
	case "Pod":
		own, spec = pods, `{"nodeName": "node1"}`
	case "CronJob":
		spec = `{"jobTemplate": {"spec": ` + spec + `}}`
	}
	var u unstructured.Unstructured
	text := fmt.Sprintf(`{"apiVersion": %q, "kind": %q, "metadata": %s, "spec": %s}`, kind.GroupVersion(), kind.Kind, metadata(own), spec)
	if err := u.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return &u
}

// What cannot be parsed is refused in everything that makes pods, with the
// element and the reason; what was there before may stay.
func TestRefusedInEveryKind(t *testing.T) {
	p := loadPolicy(t, "admit-interfaces.yaml")
	for _, kind := range workloads() {
		t.Run(kind.Kind, func(t *testing.T) {
			good, bad := workload(t, kind, "", "tap1/tap"), workload(t, kind, "", "tap1/tap, tap2/tab, eth0/tap")
			none := workload(t, kind, "", "")
			err := p.judge(request{kind: kind, object: bad})
			const want = `contivpp.io/custom-if: "tap2/tab": the type is not known (want tap, veth or memif) (and 1 more like it)`
			if err == nil || err.Error() != want {
				t.Errorf("new and bad: %v", err)
			}
			if err := p.judge(request{kind: kind, object: bad, before: good}); err == nil {
				t.Error("altered into what is bad: not refused")
			}
			if err := p.judge(request{kind: kind, object: bad, before: none}); err == nil {
				t.Error("bad, and none before: not refused")
			}
			for name, r := range map[string]request{
				"new and good": {object: good}, "new and none": {object: none}, "bad as before": {object: bad, before: bad},
				"mended": {object: good, before: bad}, "taken away": {object: none, before: bad},
			} {
				r.kind = kind
				if err := p.judge(r); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// Messages say what is wrong as the agent's do.
func TestMessages(t *testing.T) {
	p := loadPolicy(t, "admit-interfaces.yaml")
	for value, want := range map[string]string{
		"tap1":                             `"tap1": the type is missing; an interface is NAME/TYPE or NAME/TYPE/NETWORK`,
		"/tap":                             `"/tap": the name is missing`,
		"eth0/tap":                         `"eth0/tap": the name is taken by the pod's main interface`,
		"a/tap/b/c":                        `"a/tap/b/c": a fourth part is too much`,
		"a/tap/B":                          `"a/tap/B": the network cannot have this name`,
		"1234567890123456/tap":             `the name has 16 bytes; Linux takes at most 15`,
		"a b/tap":                          `the name contains a space`,
		"a/tap,b/veth,a/veth":              `name "a" is used twice`,
		strings.Repeat("x", 100) + "/tap":  `"` + strings.Repeat("x", 60) + `...": the name has 100 bytes`,
		strings.Repeat("x", 16<<10) + "/t": `the value has 16386 bytes; at most 16384 are read`,
	} {
		if err := p.judge(newPod(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: %v\nwant %s", value, err, want)
		}
	}
}

// The annotation in the wrong place of a workload has a warning that names the
// right one.
func TestMisplaced(t *testing.T) {
	p := loadPolicy(t, "warn-workloads.yaml")
	for _, kind := range workloads()[1:] {
		place := "spec.template.metadata.annotations"
		if kind.Kind == "CronJob" {
			place = "spec.jobTemplate." + place
		}
		err := p.judge(request{kind: kind, object: workload(t, kind, "tap1/tap", "")})
		if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), kind.Kind) {
			t.Errorf("%s: warning %v, want one with %s", kind.Kind, err, place)
		}
		for _, right := range []runtime.Object{workload(t, kind, "", "tap1/tap"), workload(t, kind, "tap1/tap", "tap1/tap"), workload(t, kind, "", "")} {
			if err := p.judge(request{kind: kind, object: right}); err != nil {
				t.Errorf("%s: warning %v", kind.Kind, err)
			}
		}
	}
}
