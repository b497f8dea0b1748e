// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import corev1 "k8s.io/api/core/v1"

// Reason is an Event's reason: one word that people and programs look for.
type Reason string

// The reasons. docs/kubernetes.md says what each means and what to do.
const (
	// InterfaceRefused: the pod asks for something that cannot be given.
	InterfaceRefused Reason = "InterfaceRefused"
	// InterfaceWaiting: what the pod asks for cannot be given yet.
	InterfaceWaiting Reason = "InterfaceWaiting"
	// InterfaceFailed: what the pod asks for could not be made.
	InterfaceFailed Reason = "InterfaceFailed"
	// InterfaceDown: what a pod had is not as it should be, and cannot be mended.
	InterfaceDown Reason = "InterfaceDown"
	// InterfaceRestored: what was down is as it should be again.
	InterfaceRestored Reason = "InterfaceRestored"
	// PublishFailed: the pod runs, and what its own agent is to read from etcd is not
	// there as it should be.
	PublishFailed Reason = "PublishFailed"
	// PublishRestored: it is as it should be again.
	PublishRestored Reason = "PublishRestored"
	// AnnotationWarning: the pod is served; an annotation is not what it seems.
	AnnotationWarning Reason = "AnnotationWarning"
	// FewMemifDevices: the pod is served; its containers have fewer memif devices
	// than its annotation has memif interfaces.
	FewMemifDevices Reason = "FewMemifDevices"
	// NetworkStatusTooLong: the pod is served; its annotation network-status would
	// be too long to write.
	NetworkStatusTooLong Reason = "NetworkStatusTooLong"
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		InterfaceRefused, InterfaceWaiting, InterfaceFailed, InterfaceDown, InterfaceRestored,
		PublishFailed, PublishRestored, AnnotationWarning, FewMemifDevices, NetworkStatusTooLong,
	}
}

func (r Reason) eventType() string {
	if r == InterfaceRestored || r == PublishRestored {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
