// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"strings"
	"testing"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// annotated makes the source know a pod by its annotations.
func (b *bench) annotated(name, request, endpoint string) model.PodRef {
	a, problems := podif.FromAnnotations(map[string]string{
		podif.CustomIfAnnotation: request, podif.ServiceEndpointIfAnnotation: endpoint,
	})
	ref := model.PodRef{Namespace: "default", Name: name, UID: "uid-" + name}
	b.pods.pods[name] = model.Pod{Ref: ref, Request: a.Request, Problems: problems, ServiceEndpointIf: a.ServiceEndpointIf}
	return ref
}

// endpointOf is at which interface a sandbox's services are served, as the journal
// has it.
func (b *bench) endpointOf(id model.AttachmentID) string {
	var names []string
	for _, i := range b.journal.kept[id].Interfaces {
		if i.ServiceEndpoint {
			names = append(names, i.Name)
		}
	}
	return strings.Join(names, " ")
}

// The interface at which a pod's services are served is decided at ADD, kept with
// its sandbox whatever is edited later, and known again after the journal was lost.
func TestServiceEndpointIsKept(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	r := b.request(b.annotated("web", "tap1/tap, veth1/veth", "veth1"))
	b.mustAdd(r)
	b.annotated("web", "tap1/tap, veth1/veth", "tap1")
	b.mustAdd(r)
	if got := b.endpointOf(r.ID); got != "veth1" {
		t.Errorf("services are served at %q, want veth1", got)
	}
	plain := b.request(b.pod("plain", "tap1/tap"))
	b.mustAdd(plain)
	if got := b.endpointOf(plain.ID); got != "" {
		t.Errorf("services of a pod that says nothing are served at %q", got)
	}

	again := prepare(t, "10.1.1.0/24")
	objects, _ := b.driver.State()
	for _, o := range objects {
		again.driver.Put(o)
	}
	again.annotated("web", "tap1/tap, veth1/veth", "veth1")
	again.pods.has("web", b.inventory, r.ID)
	again.run(nil)
	if got := again.endpointOf(r.ID); got != "veth1" {
		t.Errorf("with the journal lost services are served at %q, want veth1", got)
	}
}

// What cannot serve is refused, with the reason, and leaves nothing.
func TestServiceEndpointRefused(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	for want, pod := range map[string]model.PodRef{
		`interface "tap2" is not asked for; contivpp.io/custom-if lists tap1`:                     b.annotated("missing", "tap1/tap", "tap2"),
		`interface "eth0" is not asked for`:                                                       b.annotated("main", "tap1/tap", "eth0"),
		`interface "tap1" is in network "stub"; services are served in the default network only`:  b.annotated("stub", "tap1/tap/stub", "tap1"),
		`interface "tap1" is in network "l3net"; services are served in the default network only`: b.annotated("custom", "tap1/tap/l3net", "tap1"),
	} {
		_, err := b.attacher.Add(t.Context(), b.request(pod))
		if attach.CodeOf(err) != cniwire.CodeRefused || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want a refusal with %q", pod, err, want)
		}
	}
	b.expectEmpty()
}

// Where no services are resolved, whoever asks for it is told that it comes to
// nothing, and served otherwise.
func TestServiceEndpointWithoutServices(t *testing.T) {
	b := prepare(t, "10.1.1.0/24")
	b.config.NoServices = true
	b.attacher = attach.New(b.config)
	b.run(nil)
	b.mustAdd(b.request(b.annotated("web", "tap1/tap", "tap1")))
	if told := b.warned.told; len(told) != 1 || !strings.Contains(told[0], "contivpp.io/service-endpoint-if has no effect") {
		t.Errorf("told %q", told)
	}
}
