// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/model"
)

// PortsBehind tells whether a pod would be behind a service, by its labels, and at
// which ports it would serve the service's.
func PortsBehind(s *corev1.Service, pod *corev1.Pod) ([]model.EndpointPort, bool) {
	chosen, candidate := selectedOf(s), candidateOf(pod)
	if !chosen.chooses(candidate) {
		return nil, false
	}
	return chosen.portsOf(candidate), true
}
