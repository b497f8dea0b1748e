// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package podspec_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/lab/container"
	"github.com/polynic/polynic/internal/lab/podspec"
)

func parse(t *testing.T, manifest string) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(manifest, "\t", "  ")), &pod); err != nil {
		t.Fatal(err)
	}
	return &pod
}

const full = `
metadata:
	name: web
	namespace: shop
	uid: 1234
	labels: {app: nginx}
	annotations: {contivpp.io/custom-if: tap1/tap}
spec:
	securityContext: {runAsUser: 1000, runAsGroup: 100, supplementalGroups: [7]}
	initContainers:
	- name: setup
		command: [touch, /data/ready]
		securityContext: {runAsUser: 0}
		volumeMounts: [{name: data, mountPath: /data}]
	containers:
	- name: main
		image: nginx
		command: [server, --listen, "$(IP):80", "$$(IP)", "$(NONE)"]
		args: ["$(GREETING)"]
		workingDir: /data
		env:
		- {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
		- {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
		- {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
		- {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
		- {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
		- {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
		- {name: IF, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['contivpp.io/custom-if']"}}}
		- {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
		- {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
		- {name: HOSTS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
		- {name: GREETING, value: "hello $(WHO), I am $(NAME)"}
		- {name: WHO, valueFrom: {configMapKeyRef: {name: words, key: who}}}
		- {name: ABSENT, valueFrom: {configMapKeyRef: {name: words, key: none, optional: true}}}
		- {name: PATH, value: /bin}
		livenessProbe: {httpGet: {port: 80}}
		volumeMounts:
		- {name: conf, mountPath: /etc/web/}
		- {name: data, mountPath: /data, readOnly: true}
		- {name: machine, mountPath: /m}
	- name: idle
		args: [ignored, without, a, command]
	volumes:
	- {name: data, emptyDir: {}}
	- {name: conf, configMap: {name: words}}
	- {name: machine, hostPath: {path: /srv}}
`

func TestContainers(t *testing.T) {
	pod := podspec.Pod{
		Pod:        parse(t, full),
		ConfigMaps: map[string]*corev1.ConfigMap{"words": {Data: map[string]string{"who": "world"}}},
		Folder:     "/lab/shop_web",
		Node:       "node1",
		IPs:        []netip.Addr{netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("fd00::2")},
		HostIPs:    []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
	if err := podspec.Check(pod.Pod, "node1"); err != nil {
		t.Fatal(err)
	}
	got, err := pod.Containers()
	if err != nil {
		t.Fatal(err)
	}
	base := []string{"HOME=/root", "HOSTNAME=web", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	files := map[string]string{
		"/etc/hostname": "web\n",
		"/etc/hosts":    "127.0.0.1\tlocalhost\n::1\tlocalhost\n10.1.1.2\tweb\nfd00::2\tweb\n",
	}
	want := podspec.Containers{
		Init: []container.Spec{{
			Name: "setup", Hostname: "web", Command: []string{"touch", "/data/ready"}, Env: base, WorkingDir: "/",
			User:   container.User{UID: 0, GID: 100, Groups: []uint32{7}},
			Mounts: []container.Mount{{Source: "/lab/shop_web/volumes/data", Target: "/data"}},
			Files:  files, Folder: "/lab/shop_web/containers/setup",
		}},
		Main: []container.Spec{{
			Name: "main", Hostname: "web",
			Command: []string{"server", "--listen", "10.1.1.2:80", "$(IP)", "$(NONE)", "hello $(WHO), I am web"},
			Env: []string{
				"APP=nginx", "GREETING=hello $(WHO), I am web", "HOME=/root", "HOST=192.0.2.1", "HOSTNAME=web",
				"HOSTS=192.0.2.1,2001:db8::1", "IF=tap1/tap", "IP=10.1.1.2", "IPS=10.1.1.2,fd00::2", "NAME=web",
				"NAMESPACE=shop", "NODE=node1", "PATH=/bin", "UID=1234", "WHO=world",
			},
			WorkingDir: "/data",
			User:       container.User{UID: 1000, GID: 100, Groups: []uint32{7}},
			Mounts: []container.Mount{
				{Source: "/lab/shop_web/volumes/conf", Target: "/etc/web", ReadOnly: true},
				{Source: "/lab/shop_web/volumes/data", Target: "/data", ReadOnly: true},
				{Source: "/srv", Target: "/m"},
			},
			Files: files, Folder: "/lab/shop_web/containers/main",
		}, {
			Name: "idle", Hostname: "web", Env: base, WorkingDir: "/",
			User:  container.User{UID: 1000, GID: 100, Groups: []uint32{7}},
			Files: files, Folder: "/lab/shop_web/containers/idle",
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	const two = "spec: {containers: [{name: a}, {name: b, "
	for name, test := range map[string]struct{ manifest, want string }{
		"no container":      {"spec: {containers: []}", "spec.containers: "},
		"lifecycle":         {two + "lifecycle: {preStop: {exec: {command: [x]}}}}]}", "spec.containers[1].lifecycle.preStop.exec.command[0]: "},
		"host network":      {"spec: {hostNetwork: true, containers: [{name: a}]}", "spec.hostNetwork: "},
		"host port":         {two + "ports: [{containerPort: 80, hostPort: 80}]}]}", "spec.containers[1].ports[0].hostPort: "},
		"subPath":           {two + "volumeMounts: [{name: v, mountPath: /v, subPath: x}]}], volumes: [{name: v}]}", "spec.containers[1].volumeMounts[0].subPath: "},
		"secret volume":     {"spec: {containers: [{name: a}], volumes: [{name: s, secret: {secretName: s}}]}", "spec.volumes[0].secret.secretName: "},
		"secret variable":   {two + "env: [{name: E, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]}", "spec.containers[1].env[0].valueFrom.secretKeyRef.key: "},
		"dropped rights":    {two + "securityContext: {capabilities: {drop: [ALL]}}}]}", "spec.containers[1].securityContext.capabilities.drop[0]: "},
		"sidecar":           {"spec: {containers: [{name: a}], initContainers: [{name: b, command: [x], restartPolicy: Always}]}", "spec.initContainers[0].restartPolicy: "},
		"another node":      {"spec: {nodeName: node7, containers: [{name: a}]}", "spec.nodeName: "},
		"huge pages":        {"spec: {containers: [{name: a}], volumes: [{name: h, emptyDir: {medium: HugePages}}]}", "spec.volumes[0].emptyDir.medium: "},
		"two of one name":   {"spec: {containers: [{name: a}, {name: a}]}", "spec.containers: "},
		"a path as a name":  {"spec: {containers: [{name: ../a}]}", "spec.containers: "},
		"a path as volume":  {"spec: {containers: [{name: a}], volumes: [{name: ../v, emptyDir: {}}]}", "spec.volumes[0].name: "},
		"init without work": {"spec: {containers: [{name: a}], initContainers: [{name: b}]}", "spec.initContainers[0].command: "},
		"no volume":         {two + "volumeMounts: [{name: v, mountPath: /v}]}]}", "spec.containers[1].volumeMounts[0].name: "},
		"mount over all":    {two + "volumeMounts: [{name: v, mountPath: /a/..}]}], volumes: [{name: v, emptyDir: {}}]}", "spec.containers[1].volumeMounts[0].mountPath: "},
		"unknown field ref": {two + "env: [{name: E, valueFrom: {fieldRef: {fieldPath: status.phase}}}]}]}", "spec.containers[1].env[0].valueFrom: "},
		"no config map":     {two + "env: [{name: E, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}]}", "spec.containers[1].env[0].valueFrom: "},
		"no key":            {two + "env: [{name: E, valueFrom: {configMapKeyRef: {name: empty, key: k}}}]}]}", "spec.containers[1].env[0].valueFrom: "},
		"root after all":    {two + "securityContext: {runAsNonRoot: true}}]}", "spec.containers[1].securityContext.runAsNonRoot: "},
		"negative user":     {two + "securityContext: {runAsUser: -1}}]}", "spec.containers[1].securityContext: "},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podspec.Pod{Pod: parse(t, test.manifest), ConfigMaps: map[string]*corev1.ConfigMap{"empty": {}}}
			err := podspec.Check(pod.Pod, "node1")
			if err == nil {
				_, err = pod.Containers()
			}
			if !errors.Is(err, podspec.ErrNotServed) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error %v, want one that begins with %q", err, test.want)
			}
		})
	}
}

func TestEveryRefusedFieldIsNamed(t *testing.T) {
	err := podspec.Check(parse(t, "spec: {hostPID: true, hostIPC: true, containers: [{name: a}]}"), "node1")
	for _, field := range []string{"spec.hostPID: ", "spec.hostIPC: "} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v, want it to name %q", err, field)
		}
	}
}

func TestChanged(t *testing.T) {
	old := parse(t, full)
	for name, test := range map[string]struct {
		edit func(*corev1.Pod)
		want string
	}{
		"nothing":    {func(*corev1.Pod) {}, ""},
		"uid":        {func(p *corev1.Pod) { p.UID = "other" }, ""},
		"annotation": {func(p *corev1.Pod) { p.Annotations = map[string]string{"contivpp.io/custom-if": "tap2/tap"} }, `metadata.annotations.contivpp.io/custom-if is "tap1/tap", and would be "tap2/tap"`},
		"label gone": {func(p *corev1.Pod) { p.Labels = nil }, `metadata.labels.app is "nginx", and would be absent`},
		"image":      {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "httpd" }, `spec.containers[0].image is "nginx", and would be "httpd"`},
	} {
		t.Run(name, func(t *testing.T) {
			now := old.DeepCopy()
			test.edit(now)
			change, changed, err := podspec.Changed(old, now)
			if err != nil {
				t.Fatal(err)
			}
			if changed != (test.want != "") || changed && change.String() != test.want {
				t.Errorf("changed %t: %s, want %q", changed, change, test.want)
			}
		})
	}
}
