// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package podspec turns a Kubernetes pod into containers that the lab can run.
// What the lab does not serve is refused with the path of its field, unless
// leaving it out changes nothing that a container could notice.
package podspec

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab/container"
)

// ErrNotServed means that the pod asks for something that the lab cannot give.
var ErrNotServed = errors.New("not served by the lab")

// Pod is a pod and what has to be known to run it. It is not altered.
type Pod struct {
	*corev1.Pod
	// ConfigMaps are those of the pod's namespace, by name.
	ConfigMaps map[string]*corev1.ConfigMap
	// Folder is where the pod's volumes and containers have their folders.
	Folder string
	// Node is the name of the node.
	Node string
	// IPs and HostIPs are the pod's and the node's addresses, IPv4 first. They
	// are unknown before the pod is attached; fields that tell them are empty
	// until then.
	IPs, HostIPs []netip.Addr
	// Grants is what containers get of their devices, by their names.
	Grants map[string]container.Grant
}

// Containers are the pod's containers in the order of the manifest.
type Containers struct {
	// Init are to be run one after the other, each to its end.
	Init []container.Spec
	Main []container.Spec
}

// Containers says what to run. The error wraps ErrNotServed.
func (p Pod) Containers() (Containers, error) {
	var result Containers
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		spec, err := p.container(c, fmt.Sprintf("spec.initContainers[%d]", i))
		if err == nil && len(c.Command) == 0 {
			err = refuse(fmt.Sprintf("spec.initContainers[%d].command", i), "is needed, because images are not run")
		}
		if err != nil {
			return result, err
		}
		result.Init = append(result.Init, spec)
	}
	for i := range p.Spec.Containers {
		spec, err := p.container(&p.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i))
		if err != nil {
			return result, err
		}
		result.Main = append(result.Main, spec)
	}
	return result, nil
}

func (p Pod) container(c *corev1.Container, field string) (container.Spec, error) {
	env, defined, err := p.environment(c, field)
	if err != nil {
		return container.Spec{}, err
	}
	mounts, err := p.mounts(c, field)
	if err != nil {
		return container.Spec{}, err
	}
	mounts = slices.Concat(p.Grants[c.Name].Mounts, mounts)
	user, err := p.user(c, field)
	if err != nil {
		return container.Spec{}, err
	}
	spec := container.Spec{
		Name:       c.Name,
		Hostname:   p.hostname(),
		Env:        env,
		WorkingDir: cmp.Or(c.WorkingDir, "/"),
		User:       user,
		Mounts:     mounts,
		Files:      p.files(),
		Folder:     container.Folder(p.Folder, c.Name),
	}
	if len(c.Command) > 0 { // without one, arguments are for a program we do not have
		for _, word := range slices.Concat(c.Command, c.Args) {
			spec.Command = append(spec.Command, expand(word, defined))
		}
	}
	return spec, nil
}

// user merges the container's security context over the pod's.
func (p Pod) user(c *corev1.Container, field string) (container.User, error) {
	var user container.User
	var nonRoot bool
	set := func(to *uint32, from *int64) error {
		if from == nil {
			return nil
		}
		if *from < 0 || *from > math.MaxInt32 {
			return refuse(field+".securityContext", "user or group %d is not between 0 and %d", *from, math.MaxInt32)
		}
		*to = uint32(*from)
		return nil
	}
	var err error
	if s := p.Spec.SecurityContext; s != nil {
		err = errors.Join(set(&user.UID, s.RunAsUser), set(&user.GID, s.RunAsGroup))
		for _, group := range s.SupplementalGroups {
			user.Groups = append(user.Groups, 0)
			err = errors.Join(err, set(&user.Groups[len(user.Groups)-1], &group))
		}
		nonRoot = s.RunAsNonRoot != nil && *s.RunAsNonRoot
	}
	if s := c.SecurityContext; s != nil {
		err = errors.Join(err, set(&user.UID, s.RunAsUser), set(&user.GID, s.RunAsGroup))
		if s.RunAsNonRoot != nil {
			nonRoot = *s.RunAsNonRoot
		}
	}
	if err == nil && nonRoot && user.UID == 0 {
		err = refuse(field+".securityContext.runAsNonRoot", "needs a runAsUser other than 0, because images are not pulled")
	}
	return user, err
}

func (p Pod) hostname() string { return cmp.Or(p.Spec.Hostname, p.Name) }

// files are those that a container runtime writes.
func (p Pod) files() map[string]string {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
	for _, ip := range p.IPs {
		hosts.WriteString(ip.String() + "\t" + p.hostname() + "\n")
	}
	return map[string]string{"/etc/hostname": p.hostname() + "\n", "/etc/hosts": hosts.String()}
}

func refuse(field, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", field, ErrNotServed, fmt.Sprintf(format, args...))
}
