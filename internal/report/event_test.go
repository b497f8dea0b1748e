// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/openfiles"
)

// refuse tells of an ADD that was refused, and waits for a time.
func (b *bench) refuse(text string, pause time.Duration) {
	b.t.Helper()
	pod := podRef(1)
	b.Added(b.t.Context(), ask(pod), attach.Result{}, refusal(cniwire.CodeRefused, "pod "+pod.String()+": "+text))
	time.Sleep(pause)
	synctest.Wait()
}

func (b *bench) expectTold(want ...string) {
	b.t.Helper()
	got := b.cluster.told()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("Events (-want +got):\n%s", diff)
	}
}

func TestARefusalIsAnEvent(t *testing.T) {
	bubble(t, func(b *bench) {
		began := time.Now()
		b.refuse("no", 0)
		if len(b.cluster.events) != 1 {
			b.t.Fatalf("%d Events at once, want 1", len(b.cluster.events))
		}
		pod := podRef(1)
		for name, e := range b.cluster.events {
			want := corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: name},
				InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: pod.Name, UID: "uid-1"},
				Type:           "Warning", Reason: "InterfaceRefused", Message: "no", Count: 1,
				FirstTimestamp: metav1.NewTime(began), LastTimestamp: metav1.NewTime(began),
				Source:              corev1.EventSource{Component: "polynic-agent", Host: "node-1"},
				ReportingController: "polynic-agent", ReportingInstance: "node-1",
			}
			if diff := cmp.Diff(&want, e); diff != "" {
				b.t.Errorf("Event (-want +got):\n%s", diff)
			}
		}
	})
}

// Kubelet asks again and again.
func TestARefusalThatIsRepeated(t *testing.T) {
	bubble(t, func(b *bench) {
		for range 50 {
			b.refuse("no", 12*time.Second)
		}
		time.Sleep(lastUpdate)
		synctest.Wait()
		b.expectTold("Warning InterfaceRefused x50 web-1: no")
		if b.cluster.requests > 10 {
			b.t.Errorf("%d requests for 50 refusals", b.cluster.requests)
		}
	})
}

// A pod's author who corrects one thing wants to hear of the next.
func TestAnotherReasonIsToldSoon(t *testing.T) {
	bubble(t, func(b *bench) {
		b.refuse("no", 12*time.Second)
		b.refuse("neither", 2*time.Second)
		b.expectTold("Warning InterfaceRefused x2 web-1: neither")
		b.refuse("a", 0)
		b.refuse("b", 0)
		b.refuse("c", 2*time.Second)
		b.expectTold("Warning InterfaceRefused x5 web-1: c")
		if b.cluster.requests > 4 {
			b.t.Errorf("%d requests for 5 refusals", b.cluster.requests)
		}
	})
}

// The cluster forgets Events before we do.
func TestAnEventThatExpired(t *testing.T) {
	bubble(t, func(b *bench) {
		b.refuse("no", time.Minute)
		b.cluster.set(func() { clear(b.cluster.events) })
		b.refuse("no", time.Minute)
		b.expectTold("Warning InterfaceRefused x2 web-1: no")
	})
}

func TestAnEventIsForgotten(t *testing.T) {
	bubble(t, func(b *bench) {
		b.refuse("no", 2*forgetAfter)
		b.refuse("no", time.Minute)
		b.expectTold("Warning InterfaceRefused x1 web-1: no", "Warning InterfaceRefused x1 web-1: no")
		time.Sleep(3 * forgetAfter)
		synctest.Wait()
		if n := b.remembered(); n != 0 {
			b.t.Errorf("%d jobs are remembered", n)
		}
	})
}

// An answer that is lost makes no second Event.
func TestAnAnswerIsLost(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cluster.set(func() { b.cluster.silent = 1 })
		b.refuse("no", time.Minute)
		b.refuse("no", time.Minute)
		b.expectTold("Warning InterfaceRefused x2 web-1: no")
	})
}

// What a namespace that is being removed does not take is dropped, and an Event
// that nobody could take for ten minutes is history.
func TestNobodyTakesAnEvent(t *testing.T) {
	bubble(t, func(b *bench) {
		leaving := model.PodRef{Namespace: "leaving", Name: "web", UID: "u"}
		b.Added(b.t.Context(), ask(leaving), attach.Result{}, refusal(cniwire.CodeRefused, "no"))
		synctest.Wait()
		if b.cluster.requests != 1 || b.remembered() != 0 {
			b.t.Errorf("%d requests, %d jobs are remembered", b.cluster.requests, b.remembered())
		}
		b.cluster.set(func() { b.cluster.away = errAway })
		b.refuse("no", 2*forgetAfter)
		b.cluster.set(func() { b.cluster.away = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		b.expectTold()
	})
}

func TestWhatBecomesAnEvent(t *testing.T) {
	late, stop := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer stop()
	left, leave := context.WithCancel(context.Background())
	leave()
	noFiles := openfiles.Explain("polynic-agent", &attach.Error{Code: cniwire.CodeUnknownContainer, Err: unix.EMFILE})
	for _, test := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a table
		err  error
		want string
	}{
		{"refused", t.Context(), refusal(cniwire.CodeRefused, "tap1: no"), "Warning InterfaceRefused x1 web-1: tap1: no"},
		{"later", t.Context(), refusal(cniwire.CodeTryAgainLater, "eth0: no address is left"), "Warning InterfaceWaiting x1 web-1: eth0: no address is left"},
		{"broken", t.Context(), errors.Join(errors.New("a"), errors.New("b")), "Warning InterfaceFailed x1 web-1: a; b"},
		{"sandbox not found", t.Context(), refusal(cniwire.CodeUnknownContainer, "gone"), "Warning InterfaceFailed x1 web-1: gone"},
		{"no more files", t.Context(), noFiles, "Warning InterfaceWaiting x1 web-1: " + noFiles.Error()},
		{"time is up", late, late.Err(), "Warning InterfaceWaiting x1 web-1: context deadline exceeded"},
		{"runtime gone", left, left.Err(), ""},
	} {
		bubble(t, func(b *bench) {
			b.known.put(model.Pod{Ref: podRef(1)})
			b.Added(test.ctx, ask(podRef(1)), attach.Result{}, test.err)
			b.Added(test.ctx, ask(model.PodRef{}), attach.Result{}, test.err) // a sandbox of no pod
			synctest.Wait()
			if got := strings.Join(b.cluster.told(), "\n"); got != test.want {
				b.t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		})
	}
}

// What is refused of a service is an Event of the service, once for each part.
func TestAServiceIsRefusedAPart(t *testing.T) {
	bubble(t, func(b *bench) {
		ref := model.ServiceRef{Namespace: "default", Name: "web"}
		b.ServiceRefused(ref, "uid", "192.0.2.1:80/TCP: another has it")
		b.ServiceRefused(ref, "uid", "node port 30080/TCP: another has it")
		synctest.Wait()
		b.expectTold("Warning ServiceRefused x1 web: 192.0.2.1:80/TCP: another has it", "Warning ServiceRefused x1 web: node port 30080/TCP: another has it")
		b.cluster.mu.Lock()
		defer b.cluster.mu.Unlock()
		for _, e := range b.cluster.events {
			if e.InvolvedObject.Kind != "Service" || e.InvolvedObject.UID != "uid" {
				b.t.Errorf("an Event about %+v", e.InvolvedObject)
			}
		}
	})
}

// A pod that was deleted takes its namespace with it, and nobody reads of that.
func TestTheSandboxOfAPodThatIsGone(t *testing.T) {
	bubble(t, func(b *bench) {
		was := podRef(1)
		b.known.put(model.Pod{Ref: model.PodRef{Namespace: was.Namespace, Name: was.Name, UID: "another"}})
		for _, pod := range []model.PodRef{was, podRef(2)} {
			b.Added(b.t.Context(), ask(pod), attach.Result{}, refusal(cniwire.CodeUnknownContainer, "gone"))
		}
		synctest.Wait()
		b.expectTold()
	})
}

func TestWarnings(t *testing.T) {
	bubble(t, func(b *bench) {
		for range 3 {
			b.Warn(podRef(1), attach.Annotation, "a comma too many")
			b.Warn(podRef(1), attach.Annotation, "a key that is not read")
			b.Warn(podRef(1), attach.FewDevices, "2 memif interfaces, and only 1")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.expectTold("Warning AnnotationWarning x3 web-1: a comma too many", "Warning AnnotationWarning x3 web-1: a key that is not read",
			"Warning FewMemifDevices x3 web-1: 2 memif interfaces, and only 1")
		for n := range 1000 { // one pod leaves room for the others
			b.Warn(podRef(1), attach.Annotation, fmt.Sprint(n))
		}
		b.Warn(podRef(2), attach.Annotation, "hear me")
		b.refuse("no", time.Minute)
		if n := b.remembered(); n != maxAlike+3 {
			b.t.Errorf("%d Events are remembered, want %d warnings of one pod, two others of it and one of another", n, maxAlike)
		}
	})
}

// Events go first: somebody waits for them.
func TestEventsOvertakeAnnotations(t *testing.T) {
	r := New(Config{API: newCluster(), Pods: &pods{}, NetworkStatus: true}) // it does not run
	for n := range 100 {
		r.Added(t.Context(), ask(podRef(n)), wired("10.1.1.2/32"), nil)
	}
	r.Added(t.Context(), ask(podRef(7)), attach.Result{}, refusal(cniwire.CodeRefused, "no"))
	later := time.Now().Add(time.Minute)
	if k, _, _ := r.take(later); k.reason != InterfaceRefused {
		t.Errorf("%v is sent first", k)
	}
	if k, _, _ := r.take(later); k.reason != "" {
		t.Errorf("%v is sent next", k)
	}
}

func FuzzCut(f *testing.F) {
	f.Add("pod default/web: tap1: no")
	f.Add("one\ntwo\xff" + strings.Repeat("ü", 600))
	f.Fuzz(func(t *testing.T, message string) {
		got := cut(message)
		if len(got) > maxMessage || !utf8.ValidString(got) || strings.Contains(got, "\n") {
			t.Errorf("%q of %d bytes", got, len(got))
		}
		if utf8.ValidString(message) && len(message) <= maxMessage && !strings.Contains(message, "\n") && got != message {
			t.Errorf("%q became %q", message, got)
		}
	})
}

func TestNamesOfEvents(t *testing.T) {
	for _, pod := range []string{"a", strings.Repeat("a", 253), strings.Repeat("a", 235) + "-" + strings.Repeat("a", 17), strings.Repeat("a", 235) + ".b"} {
		name := newName(pod)
		if wrong := validation.IsDNS1123Subdomain(name); wrong != nil {
			t.Errorf("%s: %v", name, wrong)
		}
		if name == newName(pod) {
			t.Error("two Events have one name")
		}
	}
}
