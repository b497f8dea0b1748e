// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/polynic/polynic/internal/model"
)

const (
	// component is who reports, as `kubectl describe` shows it.
	component = "polynic-agent"
	// firstUpdate is how long an Event's count is at least left as it is; it
	// doubles with every update, up to lastUpdate. Another message is told after
	// newMessage.
	firstUpdate, lastUpdate = 10 * time.Second, 5 * time.Minute
	newMessage              = time.Second
	// forgetAfter is how long an Event that does not happen again is remembered,
	// and how long the cluster is asked to take one.
	forgetAfter = 10 * time.Minute
	// maxMessage is the longest message, in bytes, as of events.k8s.io/v1.
	maxMessage = 1024
	// maxNamePart leaves room for a dot and a number within the 253 bytes of a
	// name.
	maxNamePart = 236
)

// series is one Event, however often it happens.
type series struct {
	pod     model.PodRef // or the service's
	reason  Reason
	node    string
	first   time.Time
	last    time.Time
	count   int32
	message string

	// name is that of the Event in the cluster, where made says that there is one.
	name string
	made bool
	// told is what the cluster knows, and since when; updates is how often it was
	// told again. telling is what was prepared last.
	told, telling told
	since         time.Time
	updates       int
}

type told struct {
	count   int32
	message string
}

// record takes up that something happened to a pod.
func (r *Reporter) record(pod model.PodRef, reason Reason, detail, message string) {
	if pod.Name == "" {
		return
	}
	message = cut(strings.TrimPrefix(message, "pod "+pod.String()+": "))
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{pod: pod, reason: reason, detail: detail}
	e, ok := r.jobs[k]
	if !ok {
		r.add(k, &series{
			pod: pod, reason: reason, node: r.config.NodeName, name: newName(pod.Name),
			first: now, last: now, count: 1, message: message,
		})
	} else {
		s := e.job.(*series) // a key with a reason has no other
		s.last, s.message = now, message
		s.count++
	}
	r.poke()
}

// cut makes one line of a message, and no longer than an Event may have.
func cut(message string) string {
	message = strings.ToValidUTF8(strings.ReplaceAll(message, "\n", "; "), "\uFFFD")
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage - len("…")
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "…"
}

func (s *series) due() time.Time {
	switch {
	case !s.made:
		return s.first
	case s.message != s.told.message:
		return s.since.Add(newMessage)
	case s.count != s.told.count:
		return s.since.Add(min(firstUpdate<<min(s.updates, 8), lastUpdate))
	default:
		return time.Time{}
	}
}

func (s *series) prepare() request {
	s.telling = told{s.count, s.message}
	if s.made {
		return s.update()
	}
	event := s.event()
	return func(ctx context.Context, api API) error {
		_, err := api.CreateEvent(ctx, event)
		return err
	}
}

// newName is a name that no other Event has. An attempt whose answer is lost is
// repeated with the same.
func newName(pod string) string {
	return fmt.Sprintf("%s.%016x", strings.TrimRight(pod[:min(len(pod), maxNamePart)], "-."), rand.Uint64())
}

func (s *series) update() request {
	namespace, name := s.pod.Namespace, s.name
	body, err := json.Marshal(struct {
		Count   int32       `json:"count"`
		Last    metav1.Time `json:"lastTimestamp"`
		Message string      `json:"message"`
	}{s.count, metav1.NewTime(s.last), s.message})
	return func(ctx context.Context, api API) error {
		if err != nil {
			return err
		}
		return api.PatchEvent(ctx, namespace, name, body)
	}
}

func (s *series) event() *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pod.Namespace, Name: s.name},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: s.reason.kind(), Namespace: s.pod.Namespace, Name: s.pod.Name, UID: types.UID(s.pod.UID),
		},
		Type: s.reason.eventType(), Reason: string(s.reason), Message: s.message, Count: s.count,
		FirstTimestamp: metav1.NewTime(s.first), LastTimestamp: metav1.NewTime(s.last),
		Source:              corev1.EventSource{Component: component, Host: s.node},
		ReportingController: component, ReportingInstance: s.node,
	}
}

func (s *series) done(o outcome, now time.Time) bool {
	switch o {
	case taken:
		if s.made {
			s.updates++
		}
		s.made, s.told, s.since = true, s.telling, now
	case exists: // the answer to an earlier attempt was lost
		s.made, s.since = true, now
	case gone:
		if !s.made {
			return true // its namespace went
		}
		s.name, s.made = newName(s.pod.Name), false // the cluster keeps Events for an hour
	case passing, denied:
		return s.stale(now)
	case rejected:
		return true
	}
	return false
}

func (s *series) stale(now time.Time) bool { return now.Sub(s.last) > forgetAfter }
