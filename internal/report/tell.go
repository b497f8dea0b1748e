// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/openfiles"
)

// mainIfName is what runtimes call a pod's main interface.
const mainIfName = "eth0"

// Added is told of an ADD that came to its end: made is what it answers, where
// err is nil. The context is the request's.
func (r *Reporter) Added(ctx context.Context, asked attach.Request, made attach.Result, err error) {
	if err == nil {
		r.attached(asked, made)
		return
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // whoever asked has gone, and asks again
	}
	reason := InterfaceFailed
	switch code := attach.CodeOf(err); {
	case errors.Is(err, openfiles.ErrLimit): // whatever it looked like where it was met
		reason = InterfaceWaiting
	case code == cniwire.CodeUnknownContainer && !r.isThere(asked.Pod):
		return // its DEL came first
	case code == cniwire.CodeRefused:
		reason = InterfaceRefused
	case code == cniwire.CodeTryAgainLater, ctx.Err() != nil: // time is up
		reason = InterfaceWaiting
	}
	r.record(asked.Pod, reason, "", err.Error())
}

// isThere reports whether a pod, and not another of its name, is on the node as
// far as is known.
func (r *Reporter) isThere(pod model.PodRef) bool {
	known, ok := r.config.Pods.Pod(pod)
	return ok && known.Ref.UID == pod.UID
}

// Deleted is told of a DEL.
func (r *Reporter) Deleted(asked attach.Request) { r.dropStatus(asked.Pod, asked.ID) }

// Warn implements attach.Warner.
func (r *Reporter) Warn(pod model.PodRef, kind attach.WarningKind, text string) {
	reason := AnnotationWarning
	if kind == attach.FewDevices {
		reason = FewMemifDevices
	}
	r.record(pod, reason, text, text)
}

// Published is told that what the pod's own agent is to read from etcd cannot be
// written, and with nil that it was after that.
func (r *Reporter) Published(pod model.PodRef, err error) {
	if err == nil {
		r.record(pod, PublishRestored, "", "what the pod's own agent reads from etcd is as it should be again")
		return
	}
	r.record(pod, PublishFailed, "", "the pod's own agent cannot be told through etcd what is its, which is tried again: "+err.Error())
}

func (r *Reporter) attached(asked attach.Request, made attach.Result) {
	if !r.writesStatus(asked.ID, asked.Pod) {
		return
	}
	value, err := NetworkStatus(asked.Network, made)
	if err != nil {
		r.record(asked.Pod, NetworkStatusTooLong, "", err.Error())
		return
	}
	r.setStatus(asked.Pod, asked.ID, value)
}

// writesStatus reports whether a sandbox's annotation is ours to write: where its
// main interface is. A plugin that calls others, as Multus does, writes it of the
// pods that it calls us for, and asks us for interfaces of other names; where it
// asks us for the main one, Config.NetworkStatus is to be off.
func (r *Reporter) writesStatus(id model.AttachmentID, pod model.PodRef) bool {
	return r.config.NetworkStatus && id.IfName == mainIfName && pod.Known() && pod.UID != ""
}
