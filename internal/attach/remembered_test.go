// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

func names(r attach.Result) []string {
	var all []string
	for _, i := range r.Interfaces {
		all = append(all, i.Name+"/"+i.Type.String()+"/"+i.Network)
	}
	return all
}

// An agent that starts while the API server is away gives the pods of its journal
// another sandbox, and nobody else one.
func TestAPodOfTheJournalWhileItsSourceIsAway(t *testing.T) {
	first := start(t, "10.1.1.0/24")
	old := first.request(first.pod("web", "tap1/tap, veth1/veth/stub"))
	want := names(first.mustAdd(old))
	net1, plain := first.request(first.pod("other", "")), first.request(first.pod("plain", ""))
	net1.ID.IfName = "net1" // as a plugin asks that calls others
	first.mustAdd(net1)
	first.mustAdd(plain)

	b := prepare(t, "10.1.1.0/24")
	b.pods.err = errors.New("away")
	known := first.inventory.Attachments()
	slices.SortFunc(known, func(x, y model.Attachment) int { return x.Addresses()[0].Compare(y.Addresses()[0]) })
	b.run(known)
	b.sandbox = first.sandbox
	if err := b.attacher.Del(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	again := b.request(old.Pod)
	if diff := cmp.Diff(want, names(b.mustAdd(again))); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"eth0/veth/default"}, names(b.mustAdd(b.request(plain.Pod)))); diff != "" {
		t.Errorf("interfaces of a pod that asked for none (-want +got):\n%s", diff)
	}
	earlier := old.Pod
	earlier.UID = "uid-before"
	for name, pod := range map[string]model.PodRef{
		"a new pod": {Namespace: "default", Name: "new", UID: "uid-new"}, "another of its name": earlier, "one with net1 alone": net1.Pod,
	} {
		if _, err := b.attacher.Add(t.Context(), b.request(pod)); attach.CodeOf(err) != cniwire.CodeTryAgainLater {
			t.Errorf("%s: error %v, want it told to try again", name, err)
		}
	}

	// Once all pods were told of, what the journal had is no news.
	b.inventory.Synced()
	if _, err := b.attacher.Add(t.Context(), b.request(old.Pod)); attach.CodeOf(err) != cniwire.CodeTryAgainLater {
		t.Errorf("a pod that the source no longer has: error %v, want it told to try again", err)
	}
}
