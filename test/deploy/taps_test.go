// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A VPP that is to make taps may open vhost-net, and sees pods' namespaces where the
// agent does. Nobody but VPP gets more by that.
func TestOverlayWithTaps(t *testing.T) {
	const set = "DaemonSet " + namespace + "/polynic-vpp"
	plain, taps := kustomize(t, "vpp"), kustomize(t, "vpp-taps")
	had, has := as[appsv1.DaemonSet](t, plain, set), as[appsv1.DaemonSet](t, taps, set)
	agent := as[appsv1.DaemonSet](t, taps, "DaemonSet "+namespace+"/polynic-agent")

	c := has.Spec.Template.Spec.Containers[0]
	s := c.SecurityContext
	if s.Privileged == nil || !*s.Privileged || s.AllowPrivilegeEscalation != nil || s.Capabilities != nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("VPP's container: %+v", s) // one that is privileged has all capabilities, and the API server takes no other word
	}
	if diff := cmp.Diff(netnsOf(agent), netnsOf(has)); diff != "" || len(netnsOf(has)) != 3 {
		t.Errorf("where pods' namespaces are (-agent +VPP):\n%s", diff)
	}

	// All else is as in the overlay vpp.
	is, was := &has.Spec.Template.Spec, &had.Spec.Template.Spec
	is.Volumes, is.Containers[0].VolumeMounts = was.Volumes, was.Containers[0].VolumeMounts
	is.Containers[0].SecurityContext = was.Containers[0].SecurityContext
	if diff := cmp.Diff(had, has); diff != "" {
		t.Errorf("VPP (-overlay vpp +overlay vpp-taps):\n%s", diff)
	}
	delete(plain, set)
	delete(taps, set)
	if diff := cmp.Diff(plain, taps); diff != "" {
		t.Errorf("the others (-overlay vpp +overlay vpp-taps):\n%s", diff)
	}
}

// netnsOf is how the first container of a DaemonSet's pods sees pods' namespaces.
func netnsOf(set appsv1.DaemonSet) []string {
	pod := set.Spec.Template.Spec
	var found []string
	for _, v := range pod.Volumes {
		if v.Name == "netns" {
			found = append(found, v.HostPath.Path)
		}
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if m.Name == "netns" {
			found = append(found, fmt.Sprintf("%s: read-only %v, %s", m.MountPath, m.ReadOnly, *m.MountPropagation))
		}
	}
	return found
}

// With VPP the agent has every service of the cluster, and the memory for that, of which
// it leaves room for nft; without, it has neither.
func TestAgentsMemory(t *testing.T) {
	const set = "DaemonSet " + namespace + "/polynic-agent"
	for overlay, want := range map[string]string{"linux": "64Mi, 48MiB", "vpp": "384Mi, 150MiB", "vpp-taps": "384Mi, 150MiB"} {
		c := as[appsv1.DaemonSet](t, kustomize(t, overlay), set).Spec.Template.Spec.Containers[0]
		at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if has := fmt.Sprintf("%s, %s", c.Resources.Limits.Memory(), c.Env[at].Value); has != want {
			t.Errorf("overlay %s: the agent's memory is %s, want %s", overlay, has, want)
		}
	}
}
