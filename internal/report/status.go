// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"time"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/model"
)

// settle is how long the annotation waits for the answer to the container
// runtime to be on its way.
const settle = 50 * time.Millisecond

// status is the annotation of one pod that is to be written.
type status struct {
	pod   model.PodRef
	id    model.AttachmentID
	value string
	from  time.Time
	sent  string // the value that was prepared last
	pods  Pods
}

// objectUID is the UID that the pod has in the API server.
func (s *status) objectUID() string {
	if known, ok := s.pods.Pod(s.pod); ok && known.Ref.UID == s.pod.UID && known.ObjectUID != "" {
		return known.ObjectUID
	}
	return s.pod.UID
}

// setStatus has a pod's annotation written, unless it is there; one that waits is
// replaced.
func (r *Reporter) setStatus(pod model.PodRef, id model.AttachmentID, value string) {
	known, ok := r.config.Pods.Pod(pod)
	ok = ok && known.Ref.UID == pod.UID
	r.mu.Lock()
	defer r.mu.Unlock()
	k := statusKey(pod)
	if e, waits := r.jobs[k]; waits {
		s := e.job.(*status) // a key without a reason has no other
		s.pod, s.id, s.value = pod, id, value
	} else if !ok || known.NetworkStatus != model.DigestOf(value) {
		r.add(k, &status{pod: pod, id: id, value: value, from: time.Now().Add(settle), pods: r.config.Pods})
	}
	r.poke()
}

// dropStatus forgets the annotation of a sandbox that goes.
func (r *Reporter) dropStatus(pod model.PodRef, id model.AttachmentID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := statusKey(pod)
	if e, ok := r.jobs[k]; ok && e.job.(*status).id == id {
		delete(r.jobs, k)
	}
}

func statusKey(pod model.PodRef) key {
	return key{pod: model.PodRef{Namespace: pod.Namespace, Name: pod.Name}}
}

func (s *status) due() time.Time { return s.from }

func (s *status) prepare() request {
	s.sent = s.value
	pod, value, uid := s.pod, s.value, s.objectUID()
	return func(ctx context.Context, api API) error {
		var patch struct {
			Metadata struct {
				UID         string            `json:"uid"`
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		patch.Metadata.UID = uid
		patch.Metadata.Annotations = map[string]string{podif.NetworkStatusAnnotation: value}
		body, err := json.Marshal(patch)
		if err != nil {
			return err
		}
		return api.PatchPodStatus(ctx, pod.Namespace, pod.Name, body)
	}
}

func (s *status) done(o outcome, _ time.Time) bool {
	return o != passing && o != denied && s.value == s.sent
}

func (s *status) stale(time.Time) bool { return false }
