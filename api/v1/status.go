// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// What Outcome.Status says, for the programs that were written for Contiv-VPP.
const (
	Success = metav1.StatusSuccess
	Failure = metav1.StatusFailure
)

// Outcome is what the status of every kind has: in status and message what
// programs for Contiv-VPP read, and in conditions what newer ones wait for.
type Outcome struct {
	// Status is Success or Failure.
	// +optional
	Status string `json:"status,omitempty"`
	// Message says for people what was done, or why nothing was.
	// +optional
	Message string `json:"message,omitempty"`
	// ObservedGeneration is the metadata.generation that this is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
