// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// node has the sandboxes of the pods that it is given.
type node struct {
	mu          sync.Mutex
	attachments []model.Attachment
	failing     map[model.AttachmentID]error
}

func (n *node) Attachments() []model.Attachment {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.attachments)
}

func (n *node) Describe(att model.Attachment) (attach.Result, error) {
	if att.Network == "" {
		return attach.Result{}, errors.New("of a newer version")
	}
	return wired("10.1.1.2/32"), nil
}

func (n *node) Failing(id model.AttachmentID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failing[id]
}

// fail has a sandbox fail, or not.
func (n *node) fail(id model.AttachmentID, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failing[id] = err
}

// goRounds runs rounds of a node until the test ends.
func (b *bench) goRounds(n *node) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- NewRounds(b.Reporter, n).Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func attachmentOf(pod model.PodRef) model.Attachment {
	asked := ask(pod)
	return model.Attachment{ID: asked.ID, Network: asked.Network, Pod: pod}
}

// An agent that starts writes what a former one did not come to write, and
// leaves alone what is as it should be.
func TestAnnotationsAreComparedAtTheStart(t *testing.T) {
	bubble(t, func(b *bench) {
		right, err := NetworkStatus("polynic", wired("10.1.1.2/32"))
		if err != nil {
			b.t.Fatal(err)
		}
		n := &node{}
		var pods []*clusterPod
		for i, has := range []string{"", "[]", right, "", "", "", ""} {
			ref := podRef(i)
			pods = append(pods, b.cluster.addPod(ref))
			n.attachments = append(n.attachments, attachmentOf(ref))
			b.known.put(model.Pod{Ref: ref, NetworkStatus: model.DigestOf(has)})
		}
		n.attachments[3].Leaving = true
		n.attachments[4].Network = "" // cannot be described
		n.attachments[5].ID.IfName = "net1"
		b.known.put(model.Pod{Ref: model.PodRef{Namespace: "default", Name: "web-6", UID: "another"}})
		n.attachments = append(n.attachments, attachmentOf(podRef(7))) // not in the cluster
		stop := b.goRounds(n)
		want := []string{"10.1.1.2", "10.1.1.2", "", "", "", "", ""}
		for i, p := range pods {
			if got, _ := b.written(p); got != want[i] {
				b.t.Errorf("pod %d: %q is written, want %q", i, got, want[i])
			}
		}
		if b.cluster.requests != 2 {
			b.t.Errorf("%d requests, want 2", b.cluster.requests)
		}
		stop()
	})
}

// What somebody removes is there again some minutes later.
func TestAnnotationsAreComparedNowAndThen(t *testing.T) {
	bubble(t, func(b *bench) {
		ref := podRef(1)
		p := b.cluster.addPod(ref)
		b.known.put(model.Pod{Ref: ref})
		n := &node{attachments: []model.Attachment{attachmentOf(ref)}}
		defer b.goRounds(n)()
		b.written(p)
		b.cluster.set(func() { delete(p.annotations, podif.NetworkStatusAnnotation) })
		time.Sleep(compareInterval)
		if got, patches := b.written(p); got != "10.1.1.2" || patches != 2 {
			b.t.Errorf("%q after %d patches", got, patches)
		}
	})
}

// A repair that fails for a moment is nobody's business; one that goes on is
// told, and so is its end.
func TestRepairsThatFail(t *testing.T) {
	bubble(t, func(b *bench) {
		ref := podRef(1)
		att := attachmentOf(ref)
		n := &node{attachments: []model.Attachment{att}, failing: map[model.AttachmentID]error{}}
		defer b.goRounds(n)()
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		wait(time.Second) // the rounds' steps are between the test's
		n.fail(att.ID, errors.New("tap1: no"))
		wait(lasting)
		n.fail(att.ID, nil)
		wait(lasting)
		b.expectTold()

		n.fail(att.ID, errors.New("tap1: no"))
		wait(lasting + lookInterval)
		b.expectTold("Warning InterfaceDown x1 web-1: cannot be repaired, and is tried again: tap1: no")
		n.fail(att.ID, nil)
		wait(lasting)
		b.expectTold("Warning InterfaceDown x1 web-1: cannot be repaired, and is tried again: tap1: no",
			"Normal InterfaceRestored x1 web-1: the pod's interfaces are as they should be again")

		n.fail(att.ID, errors.New("tap1: no"))
		n.mu.Lock()
		n.attachments[0].Leaving = true
		n.mu.Unlock()
		wait(2 * lasting)
		if got := len(b.cluster.told()); got != 2 {
			b.t.Errorf("%d Events, and the pod is on its way out", got)
		}
	})
}
