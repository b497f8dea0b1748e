// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package serviceip_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/lab/serviceip"
)

func service(name string, change func(*corev1.ServiceSpec)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	change(&s.Spec)
	return s
}

// A service gets what it does not name, of the families that it asks for, and keeps
// it.
func TestComplete(t *testing.T) {
	dual, both := corev1.IPFamilyPolicyPreferDualStack, []bool{false, true}
	require := corev1.IPFamilyPolicyRequireDualStack
	there := service("there", func(s *corev1.ServiceSpec) {
		s.Type, s.ClusterIPs = corev1.ServiceTypeNodePort, []string{"10.96.0.2"}
		s.Ports[0].NodePort, s.Ports[0].Protocol = 30000, corev1.ProtocolTCP
	})
	for name, c := range map[string]struct {
		families []bool
		name     string
		change   func(*corev1.ServiceSpec)
		want     string // addresses, node ports; or the error
	}{
		"one family":          {both, "a", func(*corev1.ServiceSpec) {}, "[10.96.0.3] [0]"},
		"both":                {both, "a", func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &dual }, "[10.96.0.3 fd00:10:96::2] [0]"},
		"both of one":         {[]bool{true}, "a", func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &dual }, "[fd00:10:96::2] [0]"},
		"both are required":   {[]bool{true}, "a", func(s *corev1.ServiceSpec) { s.IPFamilyPolicy = &require }, "pods of one family only"},
		"the other":           {both, "a", func(s *corev1.ServiceSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }, "[fd00:10:96::2] [0]"},
		"a family too many":   {[]bool{false}, "a", func(s *corev1.ServiceSpec) { s.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }, "do not have all of them"},
		"its own":             {both, "a", func(s *corev1.ServiceSpec) { s.ClusterIP = "10.96.7.7" }, "[10.96.7.7] [0]"},
		"another's":           {both, "a", func(s *corev1.ServiceSpec) { s.ClusterIP = "10.96.0.2" }, "10.96.0.2 is that of service shop/there"},
		"headless":            {both, "a", func(s *corev1.ServiceSpec) { s.ClusterIP = "None" }, "[None] [0]"},
		"node port":           {both, "a", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }, "[10.96.0.3] [30001]"},
		"another's node port": {both, "a", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort; s.Ports[0].NodePort = 30000 }, "30000 is that of service shop/there"},
		"what it had":         {both, "there", func(s *corev1.ServiceSpec) { s.Type = corev1.ServiceTypeNodePort }, "[10.96.0.2] [30000]"},
		"no port":             {both, "a", func(s *corev1.ServiceSpec) { s.Ports = nil }, "at least one is required"},
		"a port beyond":       {both, "a", func(s *corev1.ServiceSpec) { s.Ports[0].Port = 70000 }, "70000 is not between"},
		"ports without names": {both, "a", func(s *corev1.ServiceSpec) { s.Ports = make([]corev1.ServicePort, 2); s.Ports[0].Port = 1 }, "name: is required"},
	} {
		t.Run(name, func(t *testing.T) {
			s := service(c.name, c.change)
			err := serviceip.New(c.families, []*corev1.Service{there}).Complete(s)
			got := fmt.Sprint(err)
			if err == nil {
				var ports []int32
				for _, p := range s.Spec.Ports {
					ports = append(ports, p.NodePort)
				}
				got = fmt.Sprint(s.Spec.ClusterIPs, " ", ports)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
