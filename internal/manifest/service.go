// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// PortFault is what an API server would not take of a service's ports: the path of
// the field, and what is wrong there. Both are empty where all is well.
func PortFault(s *corev1.Service) (path, reason string) {
	names := map[string]bool{}
	for n, p := range s.Spec.Ports {
		path = fmt.Sprintf("spec.ports[%d]", n)
		switch {
		case p.Port < 1 || p.Port > 65535:
			return path + ".port", fmt.Sprintf("%d is not between 1 and 65535", p.Port)
		case len(s.Spec.Ports) > 1 && p.Name == "":
			return path + ".name", "is required where there are several ports"
		case names[p.Name]:
			return path + ".name", fmt.Sprintf("another port is called %q already", p.Name)
		}
		names[p.Name] = true
	}
	if len(s.Spec.Ports) == 0 && s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ClusterIP != corev1.ClusterIPNone {
		return "spec.ports", "at least one is required"
	}
	return "", ""
}
