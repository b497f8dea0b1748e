// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
)

// written waits until nothing goes on, and gives the address that a pod is said
// to have and how often it was written.
func (b *bench) written(p *clusterPod) (address string, patches int) {
	time.Sleep(time.Second)
	synctest.Wait()
	b.cluster.set(func() {
		_, rest, _ := strings.Cut(p.annotations[podif.NetworkStatusAnnotation], `"ips": [`)
		address, _, _ = strings.Cut(rest, "]")
		address, patches = strings.Trim(strings.TrimSpace(address), `"`), p.patches
	})
	return address, patches
}

func TestAPodIsWrittenOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		pod := podRef(1)
		p := b.cluster.addPod(pod)
		for n := range 5 { // an ADD that is repeated
			b.Added(b.t.Context(), ask(pod), wired(fmt.Sprintf("10.1.1.%d/32", n+2)), nil)
		}
		if got, patches := b.written(p); got != "10.1.1.6" || patches != 1 || p.annotations["theirs"] != "stays" {
			b.t.Errorf("%s after %d patches, want the last of five in one:\n%s", got, patches, p.annotations)
		}
		if n := b.remembered(); n != 0 {
			b.t.Errorf("%d jobs are remembered", n)
		}
	})
}

// A sandbox that is made anew has other addresses, or the same.
func TestWhatIsThereIsNotWritten(t *testing.T) {
	bubble(t, func(b *bench) {
		pod := podRef(1)
		p := b.cluster.addPod(pod)
		value, err := NetworkStatus("polynic", wired("10.1.1.2/32"))
		if err != nil {
			b.t.Fatal(err)
		}
		b.known.put(model.Pod{Ref: pod, NetworkStatus: model.DigestOf(value)})
		b.Added(b.t.Context(), ask(pod), wired("10.1.1.2/32"), nil)
		if _, patches := b.written(p); patches != 0 {
			b.t.Errorf("%d patches of what is there", patches)
		}
		b.Added(b.t.Context(), ask(pod), wired("10.1.1.3/32"), nil)
		if got, patches := b.written(p); got != "10.1.1.3" || patches != 1 {
			b.t.Errorf("%q after %d patches", got, patches)
		}
	})
}

// Kubelet knows a static pod by another UID than the API server.
func TestAStaticPod(t *testing.T) {
	bubble(t, func(b *bench) {
		pod := podRef(1)
		p := b.cluster.addPod(model.PodRef{Namespace: "default", Name: "web-1", UID: "mirror"})
		b.known.put(model.Pod{Ref: pod, ObjectUID: "mirror"})
		b.Added(b.t.Context(), ask(pod), wired("10.1.1.2/32"), nil)
		if got, _ := b.written(p); got != "10.1.1.2" {
			b.t.Errorf("%q is written", got)
		}
		b.Added(b.t.Context(), ask(pod), attach.Result{}, refusal(101, "no"))
		synctest.Wait()
		for _, e := range b.cluster.events {
			if e.InvolvedObject.UID != "uid-1" { // what kubectl looks for (describe.go in k8s.io/kubectl)
				b.t.Errorf("the Event is about %s", e.InvolvedObject.UID)
			}
		}
	})
}

// The answer to the container runtime goes first.
func TestTheAnnotationFollowsTheAnswer(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cluster.addPod(podRef(1))
		b.Added(b.t.Context(), ask(podRef(1)), wired("10.1.1.2/32"), nil)
		synctest.Wait()
		if b.cluster.requests != 0 {
			b.t.Error("it is written while the ADD is answered")
		}
	})
}

func TestOnlyMainInterfacesOfPodsAreWritten(t *testing.T) {
	bubble(t, func(b *bench) {
		pod := podRef(1)
		p := b.cluster.addPod(pod)
		secondary := ask(pod)
		secondary.ID.IfName = "net1"
		nobody, unnamed := ask(model.PodRef{}), ask(pod)
		unnamed.Pod.UID = ""
		for _, asked := range []attach.Request{secondary, nobody, unnamed} {
			b.Added(b.t.Context(), asked, wired("10.1.1.2/32"), nil)
		}
		b.config.NetworkStatus = false
		b.Added(b.t.Context(), ask(pod), wired("10.1.1.2/32"), nil)
		if got, _ := b.written(p); got != "" || b.cluster.requests != 0 {
			b.t.Errorf("%q after %d requests, want none", got, b.cluster.requests)
		}
	})
}

// A pod that went, or whose name another has, is asked for once and forgotten.
func TestAPodThatWent(t *testing.T) {
	bubble(t, func(b *bench) {
		other := podRef(2)
		other.UID = "another"
		p := b.cluster.addPod(other)
		b.Added(b.t.Context(), ask(podRef(1)), wired("10.1.1.2/32"), nil)
		b.Added(b.t.Context(), ask(podRef(2)), wired("10.1.1.3/32"), nil)
		if got, _ := b.written(p); got != "" || b.cluster.requests != 2 || b.remembered() != 0 {
			b.t.Errorf("%q after %d requests, %d jobs are remembered", got, b.cluster.requests, b.remembered())
		}
		if text := b.logs.String(); text != "" {
			b.t.Errorf("that is nothing for the log:\n%s", text)
		}
	})
}

// A DEL forgets the annotation of its own sandbox, and not that of the next.
func TestADelForgets(t *testing.T) {
	bubble(t, func(b *bench) {
		pod := podRef(1)
		p := b.cluster.addPod(pod)
		first, second := ask(pod), ask(pod)
		second.ID.ContainerID = "next"
		b.Added(b.t.Context(), first, wired("10.1.1.2/32"), nil)
		b.Deleted(first)
		if got, _ := b.written(p); got != "" {
			b.t.Errorf("%q is written after the DEL", got)
		}
		b.Added(b.t.Context(), second, wired("10.1.1.3/32"), nil)
		b.Deleted(first)
		if got, _ := b.written(p); got != "10.1.1.3" {
			b.t.Errorf("%q, want the next sandbox's address", got)
		}
	})
}

// While the API server is away little is asked of it, and each pod is written
// once when it is back.
func TestTheAPIServerIsAway(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cluster.set(func() { b.cluster.away = errAway })
		var pods []*clusterPod
		for n := range 20 {
			pods = append(pods, b.cluster.addPod(podRef(n)))
			b.Added(b.t.Context(), ask(podRef(n)), wired("10.1.1.2/32"), nil)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if b.cluster.requests > 20*(10*2+8) {
			b.t.Errorf("%d requests in ten minutes for 20 pods", b.cluster.requests)
		}
		b.cluster.set(func() { b.cluster.away = nil })
		time.Sleep(lastRetry * 5 / 4)
		for n, p := range pods {
			if got, patches := b.written(p); got != "10.1.1.2" || patches != 1 {
				b.t.Errorf("pod %d: %q after %d patches", n, got, patches)
			}
		}
		if text := b.logs.String(); strings.Count(text, "does not reach the cluster") != 1 || strings.Count(text, "reaches the cluster again") != 1 {
			b.t.Errorf("the log says more, or less, than once that it is so:\n%s", text)
		}
	})
}

// An API server that starts refuses what it will allow in a moment; one that goes
// on refusing is asked less and less.
func TestTheAgentLacksTheRight(t *testing.T) {
	bubble(t, func(b *bench) {
		p := b.cluster.addPod(podRef(1))
		b.cluster.set(func() { b.cluster.away = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-1", nil) })
		b.Added(b.t.Context(), ask(podRef(1)), wired("10.1.1.2/32"), nil)
		time.Sleep(time.Hour)
		b.cluster.set(func() {
			if b.cluster.requests > 12+12 {
				b.t.Errorf("%d requests in an hour", b.cluster.requests)
			}
			b.cluster.away = nil
		})
		time.Sleep(lastDenied * 5 / 4)
		if got, patches := b.written(p); got != "10.1.1.2" || patches != 1 {
			b.t.Errorf("%q after %d patches", got, patches)
		}
	})
}

func TestManyPodsAtOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		pods := map[int]*clusterPod{}
		for n := range 100 {
			pods[n] = b.cluster.addPod(podRef(n))
			b.Added(b.t.Context(), ask(podRef(n)), wired("10.1.1.2/32"), nil)
			b.Added(b.t.Context(), ask(podRef(n)), wired("10.1.1.3/32"), nil)
		}
		for n, p := range pods {
			if got, patches := b.written(p); got != "10.1.1.3" || patches != 1 {
				b.t.Errorf("pod %d: %q after %d patches", n, got, patches)
			}
		}
		if b.cluster.requests != 100 || b.cluster.most > maxRequests {
			b.t.Errorf("%d requests, %d at once", b.cluster.requests, b.cluster.most)
		}
	})
}

// Whoever has something to tell goes on, whatever the API server does, and what
// is remembered is bounded.
func TestTheAPIServerHangs(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cluster.set(func() { b.cluster.hangs = true })
		before := time.Now()
		for n := range 2000 {
			b.Added(b.t.Context(), ask(podRef(n)), wired("10.1.1.2/32"), nil)
			b.Added(b.t.Context(), ask(podRef(n)), attach.Result{}, refusal(101, "no"))
		}
		if took := time.Since(before); took != 0 {
			b.t.Errorf("ADDs waited %s", took)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := b.remembered(); n > maxJobs || b.cluster.most > maxRequests {
			b.t.Errorf("%d jobs are remembered, and %d requests were under way", n, b.cluster.most)
		}
		if text := b.logs.String(); strings.Count(text, "too much to report") != 1 {
			b.t.Errorf("the log says more, or less, than once that something is left out:\n%s", text)
		}
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		b.Added(ctx, ask(podRef(1)), attach.Result{}, refusal(101, "no")) // whoever asked has gone
	})
}
