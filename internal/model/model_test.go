// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

func TestNames(t *testing.T) {
	pod := model.PodRef{Namespace: "shop", Name: "web-1", UID: "u1"}
	for _, c := range []struct{ got, want string }{
		{pod.String(), "shop/web-1"},
		{model.PodRef{UID: "u1"}.String(), "(no pod)"},
		{model.AttachmentID{ContainerID: "abc", IfName: "eth0"}.String(), "abc/eth0"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if !pod.Known() || (model.PodRef{Namespace: "shop"}).Known() {
		t.Error("a pod is known by its name")
	}
	if !pod.SameName(model.PodRef{Namespace: "shop", Name: "web-1", UID: "u2"}) ||
		pod.SameName(model.PodRef{Namespace: "web-1", Name: "shop"}) {
		t.Error("pods have the same name if namespace and name are equal, whatever the UIDs")
	}
	if !(model.AttachmentID{}).IsZero() || (model.AttachmentID{ContainerID: "abc"}).IsZero() {
		t.Error("an id is zero if nothing of it is set")
	}
}

// The JSON form is the journal's: what was written once must be read for ever.
func TestAttachmentAsJSON(t *testing.T) {
	const text = `{"id":{"containerID":"abc","ifName":"eth0"},"network":"k8s-pod-network",` +
		`"pod":{"namespace":"shop","name":"web-1","uid":"u1"},"netns":{"path":"/run/netns/a","inode":4026532000},"mtu":1450,` +
		`"interfaces":[{"name":"eth0","type":"veth","network":"default","addresses":["10.1.1.2","fd00::2"]},` +
		`{"name":"tap1","type":"tap","network":"stub","queues":2},` +
		`{"name":"m1","type":"memif","network":"stub","queues":1,"memif":{"id":1,"container":"app","allocation":"f","folder":"/run/f"}}],"leaving":true}`
	want := model.Attachment{
		ID:      model.AttachmentID{ContainerID: "abc", IfName: "eth0"},
		Network: "k8s-pod-network",
		Pod:     model.PodRef{Namespace: "shop", Name: "web-1", UID: "u1"},
		Netns:   model.Netns{Path: "/run/netns/a", Inode: 4026532000},
		MTU:     1450,
		Interfaces: []model.Interface{
			{
				Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork,
				Addresses: []netip.Addr{netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("fd00::2")},
			},
			{Name: "tap1", Type: podif.Tap, Network: model.StubNetwork, Queues: 2},
			{
				Name: "m1", Type: podif.Memif, Network: model.StubNetwork, Queues: 1,
				Memif: &model.Memif{ID: 1, Container: "app", Allocation: "f", Folder: "/run/f"},
			},
		},
		Leaving: true,
	}
	var got model.Attachment
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	written, err := json.Marshal(want)
	if err != nil || string(written) != text {
		t.Errorf("written %s, %v\nwant    %s", written, err, text)
	}
	if addrs := got.Addresses(); len(addrs) != 2 || addrs[0] != want.Interfaces[0].Addresses[0] {
		t.Errorf("addresses %v, want both of eth0", addrs)
	}
}
