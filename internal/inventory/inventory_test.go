// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"slices"
	"testing"

	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/model"
)

// A container may have several attachments; each comes and goes alone.
func TestAttachmentsOfAContainer(t *testing.T) {
	v := inventory.New()
	eth0, net1 := model.AttachmentID{ContainerID: "a", IfName: "eth0"}, model.AttachmentID{ContainerID: "a", IfName: "net1"}
	other := model.AttachmentID{ContainerID: "b", IfName: "eth0"}
	for _, id := range []model.AttachmentID{eth0, net1, other} {
		v.PutAttachment(model.Attachment{ID: id})
	}
	count := func(all, ofA int) {
		t.Helper()
		if len(v.Attachments()) != all || len(v.OfContainer("a")) != ofA {
			t.Errorf("%v, of a %v; want %d and %d", v.Attachments(), v.OfContainer("a"), all, ofA)
		}
	}
	count(3, 2)
	v.DeleteAttachment(eth0)
	v.DeleteAttachment(eth0)
	count(2, 1)
	if _, ok := v.Attachment(eth0); ok {
		t.Error("what was deleted is found")
	}
	if a, ok := v.Attachment(net1); !ok || a.ID != net1 {
		t.Errorf("%v, %v", a, ok)
	}
	v.DeleteAttachment(net1)
	count(1, 0)
}

// A pod that came under the name of one that went is not forgotten with it.
func TestDeletedPodOfAnotherUID(t *testing.T) {
	v := inventory.New()
	ref := func(uid string) model.PodRef { return model.PodRef{Namespace: "n", Name: "p", UID: uid} }
	v.PutPod(model.Pod{Ref: ref("2")})
	v.DeletePod(ref("1"))
	if p, ok := v.Pod(ref("1")); !ok || p.Ref.UID != "2" {
		t.Errorf("%v, %v", p, ok)
	}
	v.DeletePod(ref("2"))
	if _, ok := v.Pod(ref("2")); ok {
		t.Error("it is there still")
	}
	if slices.ContainsFunc(v.Attachments(), func(model.Attachment) bool { return true }) {
		t.Error("attachments where none were put")
	}
}
