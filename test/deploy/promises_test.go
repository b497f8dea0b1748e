// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// every converts the objects of a kind, and gives each to check by its name.
func every[T any](t *testing.T, kind string, check func(name string, object T)) {
	t.Helper()
	found := 0
	for _, text := range [][]byte{file(t, "polynic.yaml"), file(t, "polynic-vpp.yaml"), file(t, "uninstall.yaml")} {
		for key, fields := range objects(t, text) {
			name, ok := strings.CutPrefix(key, kind+" ")
			if !ok {
				continue
			}
			var object T
			// Of what has no type here only the metadata counts.
			_, metadata := any(object).(metav1.PartialObjectMetadata)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, &object, !metadata); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			found++
			check(name, object)
		}
	}
	if found == 0 {
		t.Errorf("there is no %s", kind)
	}
}

// Nobody is given everything, or a secret.
func TestRights(t *testing.T) {
	check := func(name string, rules []rbacv1.PolicyRule) {
		for _, r := range rules {
			words := slices.Concat(r.APIGroups, r.Resources, r.Verbs, r.NonResourceURLs)
			if slices.Contains(words, "*") || slices.Contains(words, "secrets") {
				t.Errorf("%s: %v", name, r)
			}
		}
	}
	every(t, "ClusterRole", func(name string, role rbacv1.ClusterRole) { check(name, role.Rules) })
	every(t, "Role", func(name string, role rbacv1.Role) { check(name, role.Rules) })
}

// What needs nothing of a node has nothing of it.
func TestController(t *testing.T) {
	every(t, "Deployment", func(name string, d appsv1.Deployment) {
		pod := d.Spec.Template.Spec
		if pod.HostNetwork || pod.HostPID || !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 {
			t.Errorf("%s: %+v", name, pod.SecurityContext)
		}
		for _, v := range pod.Volumes {
			if v.HostPath != nil {
				t.Errorf("%s: %s is a folder of the node", name, v.Name)
			}
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Add) > 0 || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: %+v", name, s)
			}
			if c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: its memory has no limit", name)
			}
		}
	})
}

// An uninstallation by Helm keeps what users wrote.
func TestObjectsOutliveTheRelease(t *testing.T) {
	every(t, "CustomResourceDefinition", func(name string, crd metav1.PartialObjectMetadata) {
		if crd.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s: %v", name, crd.Annotations)
		}
	})
}

// No container is privileged or may write to its own files; of all that does not
// pass packets the memory is bounded.
func TestContainers(t *testing.T) {
	const withVPP = "384Mi" // where the agent has every service
	every(t, "DaemonSet", func(name string, set appsv1.DaemonSet) {
		pod := set.Spec.Template.Spec
		if pod.PriorityClassName != "system-node-critical" || !slices.Contains(pod.Tolerations, corev1.Toleration{Operator: "Exists"}) {
			t.Errorf("%s: priority %q, tolerations %v", name, pod.PriorityClassName, pod.Tolerations)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			s := c.SecurityContext
			if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: %s: %+v", name, c.Name, s)
			}
			if memory := c.Resources.Limits.Memory().String(); c.Name == "agent" && memory != "64Mi" && memory != withVPP {
				t.Errorf("%s: memory limit %s", name, memory)
			}
			if c.Lifecycle != nil {
				t.Errorf("%s: %s: what ends must take nothing away: %v", name, c.Name, c.Lifecycle)
			}
		}
	})
}

// docs/security.md names the capabilities and annotations that there are.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (yes)? ?\\| (yes)? ?\\| (yes)? ?\\|").FindAllStringSubmatch(string(page), -1) {
		for i, name := range []string{"polynic-agent", "polynic-relay", "polynic-vpp"} {
			if row[i+2] != "" {
				told[name] = append(told[name], row[1])
			}
		}
	}
	every(t, "DaemonSet", func(name string, set appsv1.DaemonSet) {
		name = strings.TrimPrefix(name, namespace+"/")
		if name == "polynic-uninstall" {
			return
		}
		var has []string
		for _, c := range set.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add {
			has = append(has, string(c))
		}
		if diff := cmp.Diff(has, told[name]); diff != "" {
			t.Errorf("%s (-manifest +docs/security.md):\n%s", name, diff)
		}
	})
	for _, v := range loadPolicy(t, "narrow-agent.yaml").Spec.Variables {
		if v.Name != "mine" {
			continue
		}
		for _, annotation := range regexp.MustCompile(`'([^']+)'`).FindAllStringSubmatch(v.Expression, -1) {
			if !strings.Contains(string(page), "| `"+annotation[1]+"` |") {
				t.Errorf("docs/security.md does not list %s", annotation[1])
			}
		}
	}
}
