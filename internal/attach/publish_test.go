// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/publish/ligato"
)

// etcd is what pods' own agents can read, and what was asked of it.
type etcd struct {
	mu    sync.Mutex
	there map[model.AttachmentID]attach.Publication
	asked []string
	err   error
}

func (e *etcd) Publish(_ context.Context, p attach.Publication) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.there[p.ID] = p
	}
	return e.err
}

func (e *etcd) Set(p attach.Publication) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.there[p.ID] = p
	e.asked = append(e.asked, "set "+p.ID.ContainerID)
}

func (e *etcd) Keep(id model.AttachmentID, why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, "keep "+id.ContainerID+": "+why.Error())
}

func (e *etcd) Withdraw(id model.AttachmentID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.there, id)
	e.asked = append(e.asked, "withdraw "+id.ContainerID)
}

func (e *etcd) Restored() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, "restored")
}

// labels lists whose pods' agents are told what.
func (e *etcd) labels() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, p := range e.there {
		names := []string{}
		for _, i := range p.Config.Interfaces {
			names = append(names, i.Name)
		}
		list = append(list, fmt.Sprintf("%s %s %s", p.Config.Label, p.Pod, strings.Join(names, ",")))
	}
	slices.Sort(list)
	return list
}

func (e *etcd) told() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// labelled makes the source know a pod whose own agent has a label.
func (b *bench) labelled(name, annotation, label string) model.PodRef {
	ref := b.pod(name, annotation)
	pod := b.pods.pods[name]
	pod.MicroserviceLabel = label
	b.pods.pods[name] = pod
	return ref
}

// What the pod's own agent is told is there when ADD answers, and goes with the
// sandbox.
func TestALabelledPodIsPublished(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	pod := b.labelled("vnf", "memif1/memif, tap1/tap, x/veth/stub", "vnf1")
	b.give(pod, 1)
	r := b.request(pod)
	b.mustAdd(r)
	b.etcd.mu.Lock()
	p := b.etcd.there[r.ID]
	b.etcd.mu.Unlock()
	items, err := ligato.Items(p.Config, ligato.FormV3)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range items {
		got[strings.TrimPrefix(i.Key, "/vnf-agent/vnf1/config/")] = string(i.Value)
	}
	gateway := model.SwitchMAC(r.ID.ContainerID, "memif1").String()
	want := map[string]string{
		"vpp/v2/interfaces/memif1": `{"name":"memif1","type":"MEMIF","enabled":true,"ip_addresses":["10.1.1.3/32"],` +
			`"memif":{"socket_filename":"/run/vpp/memif.sock","secret":"secret-vnf-0"}}`,
		"vpp/v2/arp/memif1/10.1.1.1":                               `{"interface":"memif1","ip_address":"10.1.1.1","phys_address":"` + gateway + `","static":true}`,
		"vpp/v2/route/if/memif1/vrf/0/dst/10.1.0.0/16/gw/10.1.1.1": `{"dst_network":"10.1.0.0/16","next_hop_addr":"10.1.1.1","outgoing_interface":"memif1"}`,
		"netalloc/v1/ip/network/contiv-default/interface/memif1":   `{"network_name":"contiv-default","interface_name":"memif1","address":"10.1.1.3/32","gw":"10.1.1.1/32"}`,
		"netalloc/v1/ip/network/contiv-default/interface/tap1":     `{"network_name":"contiv-default","interface_name":"tap1","address":"10.1.1.4/32","gw":"10.1.1.1/32"}`,
		"linux/interfaces/v2/interface/tap1":                       `{"name":"tap1","type":"EXISTING","enabled":true,"ip_addresses":["10.1.1.4/32"],"host_if_name":"tap1"}`,
		"linux/interfaces/v2/interface/x":                          `{"name":"x","type":"EXISTING","enabled":true,"host_if_name":"x"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pod's agent is told (-want +got):\n%s", diff)
	}
	if err := b.attacher.Del(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if left := b.etcd.labels(); len(left) > 0 {
		t.Errorf("after the DEL there is %v", left)
	}
	b.expectEmpty()
}

// A pod without custom interfaces has none that its agent could be told of, and
// one without a label no agent.
func TestNobodyIsTold(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	b.mustAdd(b.request(b.labelled("plain", "", "vnf1")))
	b.mustAdd(b.request(b.pod("silent", "tap1/tap")))
	if told := b.etcd.labels(); len(told) > 0 {
		t.Errorf("told is %v", told)
	}
}

// What cannot be published makes the ADD fail, with the code that says whether
// waiting helps, and leaves nothing.
func TestAPodThatCannotBePublished(t *testing.T) {
	for _, c := range []struct {
		err  error
		code cniwire.Code
		says string
	}{
		{model.Refusal("the label is taken"), cniwire.CodeRefused, "pod default/vnf: the label is taken"},
		{errors.New("connection refused"), cniwire.CodeTryAgainLater, "pod default/vnf: its interfaces are not published in etcd: connection refused"},
		{fmt.Errorf("late: %w", context.DeadlineExceeded), cniwire.CodeTryAgainLater, "not published in etcd: late"},
	} {
		b := start(t, "10.1.1.0/24")
		r := b.request(b.labelled("vnf", "tap1/tap", "vnf1"))
		b.etcd.err = c.err
		_, err := b.attacher.Add(t.Context(), r)
		if attach.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("code %v: %v; want %v and %q", attach.CodeOf(err), err, c.code, c.says)
		}
		if want := "withdraw " + r.ID.ContainerID; !slices.Contains(b.etcd.told(), want) {
			t.Errorf("asked was %v, want %s: it would be tried again", b.etcd.told(), want)
		}
		b.expectEmpty()
		b.etcd.err = nil
		b.mustAdd(r)
		b.etcd.err = c.err
		// A repeated ADD takes nothing away.
		if _, err := b.attacher.Add(t.Context(), r); err == nil {
			t.Error("a repeated ADD says that all is well")
		}
		if len(b.etcd.labels()) != 1 || len(b.inventory.Attachments()) != 1 {
			t.Errorf("the repeated ADD left %v, %v", b.etcd.labels(), b.inventory.Attachments())
		}
	}
}

// Without etcd a pod that needs it is refused before anything is made.
func TestNoEtcd(t *testing.T) {
	b := prepare(t, "10.1.1.0/24")
	b.remake(func(c *attach.Config) { c.Publisher = nil })
	b.run(nil)
	_, err := b.attacher.Add(t.Context(), b.request(b.labelled("vnf", "tap1/tap", "vnf1")))
	if attach.CodeOf(err) != cniwire.CodeRefused || !strings.Contains(err.Error(), "asks for configuration through etcd") {
		t.Errorf("code %v: %v", attach.CodeOf(err), err)
	}
	b.expectEmpty()
	b.mustAdd(b.request(b.pod("other", "tap1/tap")))
}

// A restarted agent publishes on for those that are attached, gives up what was
// on its way out, and then says that this is all.
func TestPublishingGoesOn(t *testing.T) {
	former := start(t, "10.1.1.0/24")
	stays, leaves := former.request(former.labelled("stays", "tap1/tap", "vnf1")), former.request(former.labelled("leaves", "tap1/tap", "vnf2"))
	former.mustAdd(stays)
	former.mustAdd(leaves)
	former.mustAdd(former.request(former.pod("other", "tap1/tap")))
	var known []model.Attachment
	for _, r := range []attach.Request{stays, leaves} {
		att, _ := former.inventory.Attachment(r.ID)
		att.Leaving = r.ID == leaves.ID
		known = append(known, att)
	}
	b := prepare(t, "10.1.1.0/24")
	b.run(known)
	want := []string{"set " + stays.ID.ContainerID, "set " + leaves.ID.ContainerID, "withdraw " + leaves.ID.ContainerID, "restored"}
	if diff := cmp.Diff(want, b.etcd.told()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"vnf1 default/stays tap1"}, b.etcd.labels()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of a pod whose secret is lost it is not known any more what was published: that
// stays, and goes with the pod. Of others nothing is withheld by that.
func TestWhatIsNotKnownAnyMoreStaysUntilThePodGoes(t *testing.T) {
	former := start(t, "10.1.1.0/24")
	var known []model.Attachment
	for _, name := range []string{"stays", "leaves"} {
		pod := former.labelled(name, "memif1/memif", "label-"+name)
		former.give(pod, 1)
		r := former.request(pod)
		former.mustAdd(r)
		att, _ := former.inventory.Attachment(r.ID)
		att.Interfaces = slices.Clone(att.Interfaces)
		memif := *att.Interfaces[1].Memif
		memif.Secret = model.Secret{}
		att.Interfaces[1].Memif, att.Leaving = &memif, name == "leaves"
		known = append(known, att)
	}
	b := prepare(t, "10.1.1.0/24")
	b.run(known)
	stays := known[0].ID
	want := []string{"keep " + stays.ContainerID + ": interface memif1: the secret of its memif is not known", "restored"}
	if diff := cmp.Diff(want, b.etcd.told()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := b.attacher.Del(t.Context(), attach.Request{ID: stays}); err != nil {
		t.Fatal(err)
	}
	if last := "withdraw " + stays.ContainerID; !slices.Contains(b.etcd.told(), last) {
		t.Errorf("after the DEL asked was %v, want %s", b.etcd.told(), last)
	}
}

// Of a sandbox that the journal lost the pod's label is asked for. Where nobody
// says, or another pod has the name by now, what there is in etcd of it stays until it
// goes, and the label is not its own. Another start asks again.
func TestPublishingGoesOnWithoutJournal(t *testing.T) {
	const keep = "keep c1: it is not known whether the pod of its name is its own"
	for _, c := range []struct {
		name  string
		alter func(pods map[string]model.Pod)
		away  error
		asked []string
	}{
		{"the pod is known", nil, nil, []string{"set c1", "restored"}},
		{"the source is away", nil, errors.New("away"), []string{keep, "restored"}},
		{"the pod is gone", func(pods map[string]model.Pod) { delete(pods, "vnf") }, nil, []string{keep, "restored"}},
		{"another pod has the name", func(pods map[string]model.Pod) {
			pod := pods["vnf"]
			pod.Ref.UID, pod.Addresses = "another", []netip.Addr{netip.MustParseAddr("10.1.1.99")}
			pods["vnf"] = pod
		}, nil, []string{keep, "restored"}},
		{"another pod has the name, and no address yet", func(pods map[string]model.Pod) {
			pod := pods["vnf"]
			pod.Ref.UID, pod.Addresses = "another", nil
			pods["vnf"] = pod
		}, nil, []string{keep, "restored"}},
		{"a manifest is all there is", func(pods map[string]model.Pod) {
			pod := pods["vnf"]
			pod.Addresses, pod.OfFile = nil, true
			pods["vnf"] = pod
		}, nil, []string{"set c1", "restored"}},
		{"a source of names alone", func(pods map[string]model.Pod) {
			pod := pods["vnf"]
			pod.Ref.UID, pod.Addresses = "", nil
			pods["vnf"] = pod
		}, nil, []string{"set c1", "restored"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			former := start(t, "10.1.1.0/24")
			r := former.request(former.labelled("vnf", "tap1/tap", "vnf1"))
			former.mustAdd(r)
			former.pods.has("vnf", former.inventory, r.ID)
			its := former.pods.pods["vnf"]
			if c.alter != nil {
				c.alter(former.pods.pods)
			}
			b := prepare(t, "10.1.1.0/24")
			b.remake(func(c *attach.Config) { c.Reconciler, c.Pods = former.reconciler, former.pods })
			former.pods.err = c.away
			found, err := former.driver.Observe(t.Context(), dataplane.Scope{Everything: true})
			if err != nil {
				t.Fatal(err)
			}
			adopted := b.attacher.Adopt(t.Context(), found, nil)
			if err := b.attacher.Restore(adopted); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.asked, b.etcd.told()); diff != "" {
				t.Errorf("asked was (-want +got):\n%s", diff)
			}
			if c.asked[0] != keep {
				return
			}
			if uid := adopted[0].Pod.UID; uid != "" {
				t.Errorf("its pod's UID is %q", uid)
			}
			former.pods.err, former.pods.pods["vnf"] = nil, its
			next := prepare(t, "10.1.1.0/24")
			next.remake(func(c *attach.Config) { c.Reconciler, c.Pods = former.reconciler, former.pods })
			known := []model.Attachment{b.journal.kept[r.ID]}
			if err := next.attacher.Restore(append(known, next.attacher.Adopt(t.Context(), found, known)...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"set c1", "restored"}, next.etcd.told()); diff != "" || next.journal.kept[r.ID].Pod != its.Ref {
				t.Errorf("the next one has %v; asked was (-want +got):\n%s", next.journal.kept[r.ID], diff)
			}
		})
	}
}

// A pod's sandbox lingers after its journal was lost, and the next pod of the name has
// a sandbox: both keep what is theirs.
func TestAnOldSandboxDoesNotTakeTheNextPodsLabel(t *testing.T) {
	former := start(t, "10.1.1.0/24")
	old := former.request(former.labelled("db-0", "tap1/tap", "vnf1"))
	former.mustAdd(old)
	pod := former.pods.pods["db-0"]
	pod.Ref.UID = "the next"
	former.pods.pods["db-0"] = pod
	young := former.request(pod.Ref)
	former.mustAdd(young)
	former.pods.has("db-0", former.inventory, young.ID)

	b := prepare(t, "10.1.1.0/24")
	objects, _ := former.driver.State()
	for _, o := range objects {
		b.driver.Put(o)
	}
	b.remake(func(c *attach.Config) { c.Pods = former.pods })
	b.run(nil)
	if diff := cmp.Diff([]string{"vnf1 default/db-0 tap1"}, b.etcd.labels()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, isYoung := b.etcd.there[young.ID]; !isYoung || b.etcd.there[young.ID].Pod.UID != "the next" {
		t.Errorf("published is %v", b.etcd.there)
	}
	for _, id := range []model.AttachmentID{old.ID, young.ID} {
		if err := b.attacher.Del(t.Context(), attach.Request{ID: id}); err != nil {
			t.Fatal(err)
		}
		if want := "withdraw " + id.ContainerID; !slices.Contains(b.etcd.told(), want) {
			t.Errorf("asked was %v, want %s", b.etcd.told(), want)
		}
	}
	b.expectEmpty()
}
