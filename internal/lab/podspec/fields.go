// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// fields lists, below spec, what the lab serves, and what it may leave out
// because no container can tell: each with everything below it. Any other
// field that is set refuses the pod. [] stands for every element of a list;
// init containers are looked up as containers.
//
//nolint:gochecknoglobals // a table
var fields = func() map[string]bool {
	table := map[string]bool{}
	for f := range strings.FieldsSeq(`
		restartPolicy terminationGracePeriodSeconds hostname nodeName
		securityContext.runAsUser securityContext.runAsGroup securityContext.runAsNonRoot
		securityContext.supplementalGroups
		containers[].name containers[].command containers[].args containers[].workingDir
		containers[].env[].name containers[].env[].value
		containers[].env[].valueFrom.fieldRef containers[].env[].valueFrom.configMapKeyRef
		containers[].volumeMounts[].name containers[].volumeMounts[].mountPath containers[].volumeMounts[].readOnly
		containers[].securityContext.runAsUser containers[].securityContext.runAsGroup
		containers[].securityContext.runAsNonRoot
		volumes[].name volumes[].emptyDir volumes[].configMap volumes[].hostPath

		containers[].image containers[].imagePullPolicy containers[].resources containers[].resizePolicy
		containers[].ports[].name containers[].ports[].containerPort containers[].ports[].protocol
		containers[].livenessProbe containers[].readinessProbe containers[].startupProbe
		containers[].terminationMessagePath containers[].terminationMessagePolicy
		containers[].securityContext.privileged containers[].securityContext.allowPrivilegeEscalation
		containers[].securityContext.capabilities.add containers[].securityContext.seccompProfile
		containers[].securityContext.appArmorProfile containers[].securityContext.seLinuxOptions
		securityContext.seccompProfile securityContext.appArmorProfile securityContext.seLinuxOptions
		nodeSelector affinity tolerations topologySpreadConstraints schedulerName os dnsPolicy
		priority priorityClassName preemptionPolicy overhead readinessGates imagePullSecrets
		serviceAccountName serviceAccount automountServiceAccountToken enableServiceLinks`) {
		table[f] = true
	}
	return table
}()

// Check refuses a pod that asks for what the lab does not serve. The error
// names every such field and wraps ErrNotServed.
func Check(pod *corev1.Pod, node string) error {
	tree, err := asTree(pod.Spec)
	if err != nil {
		return err
	}
	var errs []error
	walk(tree, "", func(path string, value any) {
		if !isZero(value) && !known(path) {
			errs = append(errs, refuse("spec."+path, "remove the field, or run the pod on a cluster"))
		}
	})
	if len(pod.Spec.Containers) == 0 {
		errs = append(errs, refuse("spec.containers", "at least one is needed"))
	}
	if n := pod.Spec.NodeName; n != "" && n != node {
		errs = append(errs, refuse("spec.nodeName", "there is no node %q, only %s", n, node))
	}
	for i, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil && strings.HasPrefix(string(v.EmptyDir.Medium), string(corev1.StorageMediumHugePages)) {
			errs = append(errs, refuse(index("spec.volumes", i)+".emptyDir.medium", "huge pages are not given out"))
		}
	}
	return errors.Join(append(errs, unique(pod))...)
}

// unique refuses two containers of one name, since each has a folder.
func unique(pod *corev1.Pod) error {
	seen := map[string]bool{}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if !nameForm.MatchString(c.Name) {
				return refuse("spec.containers", "%q is not a container name (a-z, 0-9 and -, at most 63)", c.Name)
			}
			if seen[c.Name] {
				return refuse("spec.containers", "there are two containers named %q", c.Name)
			}
			seen[c.Name] = true
		}
	}
	for i, v := range pod.Spec.Volumes {
		if !nameForm.MatchString(v.Name) {
			return refuse(index("spec.volumes", i)+".name", "%q is not a volume name (a-z, 0-9 and -, at most 63)", v.Name)
		}
	}
	return nil
}

// nameForm is a DNS label (RFC 1123): such a name is safe as a folder's.
var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

var subscripts = regexp.MustCompile(`\[\d+\]`)

// known reports whether the field, or one that it is part of, is in the table.
func known(path string) bool {
	path = subscripts.ReplaceAllString(path, "[]")
	path = strings.Replace(path, "initContainers[]", "containers[]", 1)
	for {
		if fields[path] {
			return true
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return false
		}
		path = path[:end]
	}
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
