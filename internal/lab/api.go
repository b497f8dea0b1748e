// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/polynic/polynic/api/v1"
)

// The daemon's requests: HTTP POST with JSON on its socket, answered by a
// stream of Events, one a line.
const (
	ApplyPath  = "/v1/apply"
	DeletePath = "/v1/delete"
	DownPath   = "/v1/down"
)

// ApplyRequest brings pods and services into being. Namespaces are set.
type ApplyRequest struct {
	ConfigMaps []*corev1.ConfigMap       `json:"configMaps,omitempty"`
	Customs    []*v1.CustomConfiguration `json:"customConfigurations,omitempty"`
	Services   []*corev1.Service         `json:"services,omitempty"`
	Pods       []*corev1.Pod             `json:"pods,omitempty"`
}

// DeleteRequest removes pods, services, ConfigMaps and CustomConfigurations.
type DeleteRequest struct {
	ConfigMaps []Name `json:"configMaps,omitempty"`
	Customs    []Name `json:"customConfigurations,omitempty"`
	Services   []Name `json:"services,omitempty"`
	Pods       []Name `json:"pods,omitempty"`
	// IgnoreNotFound has nothing said of what is not there.
	IgnoreNotFound bool `json:"ignoreNotFound,omitempty"`
}

// Name names an object of the lab.
type Name struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is namespace/name.
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Event is one thing that happened on the way to an answer.
type Event struct {
	Kind EventKind `json:"kind"`
	// Object is what it is about, as people write it: "pod default/web".
	Object string `json:"object,omitempty"`
	// Text is a word or a sentence for people.
	Text string `json:"text"`
}

// EventKind tells events apart.
type EventKind string

// The kinds of events.
const (
	// Progress: work goes on.
	Progress EventKind = "progress"
	// Done: the work on this object came to its end.
	Done EventKind = "done"
	// Failed: the work on this object came to nothing; Text is the reason.
	Failed EventKind = "failed"
	// Finished is the last event of an answer that was not cut off.
	Finished EventKind = "finished"
)

// String is the event as a line for people.
func (e Event) String() string {
	if e.Object == "" {
		return e.Text
	}
	return e.Object + " " + e.Text
}
