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
	// AnnotationWarning: the pod is served; an annotation is not what it seems.
	AnnotationWarning Reason = "AnnotationWarning"
	// FewMemifDevices: the pod is served; its containers have fewer memif devices
	// than its annotation has memif interfaces.
	FewMemifDevices Reason = "FewMemifDevices"
	// NetworkStatusTooLong: the pod is served; its annotation network-status would
	// be too long to write.
	NetworkStatusTooLong Reason = "NetworkStatusTooLong"
	// ServiceRefused: a part of a service is not served. It is an Event of the
	// service.
	ServiceRefused Reason = "ServiceRefused"
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		InterfaceRefused, InterfaceWaiting, InterfaceFailed, InterfaceDown, InterfaceRestored,
		AnnotationWarning, FewMemifDevices, NetworkStatusTooLong, ServiceRefused,
	}
}

// kind is that of the object that the Event is about.
func (r Reason) kind() string {
	if r == ServiceRefused {
		return "Service"
	}
	return "Pod"
}

func (r Reason) eventType() string {
	if r == InterfaceRestored {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
