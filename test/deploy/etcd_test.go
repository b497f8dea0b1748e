// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	syaml "sigs.k8s.io/yaml"

	"github.com/polynic/polynic/internal/etcdcerts"
)

// as converts an object, and fails for one that is not there or has fields that its
// kind has not.
func as[T any](t *testing.T, all map[string]map[string]any, key string) T {
	t.Helper()
	var object T
	if all[key] == nil {
		t.Fatalf("there is no %s", key)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(all[key], &object, true); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return object
}

// etcdPod is the pod of a rendered etcd, and its only container.
func etcdPod(t *testing.T, all map[string]map[string]any) (corev1.PodTemplateSpec, corev1.Container) {
	t.Helper()
	d := as[appsv1.Deployment](t, all, "Deployment "+namespace+"/polynic-etcd")
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, strategy %s: two would be two etcds", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("containers %v", d.Spec.Template.Spec.Containers)
	}
	return d.Spec.Template, d.Spec.Template.Spec.Containers[0]
}

// isMounted reports whether a path is directly in a volume of the container.
func isMounted(c corev1.Container, name string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(name) })
}

// With TLS nobody is served without a certificate; in plain text there is none to
// mount. Else both are the same.
func TestEtcd(t *testing.T) {
	for _, c := range []struct {
		folder, scheme string
		volumes        []string
	}{
		{"etcd", "https", []string{"data", "certificates", "client"}},
		{"overlays/etcd-plain", "http", []string{"data"}},
	} {
		t.Run(c.folder, func(t *testing.T) {
			all := build(t, c.folder)
			if len(all) != 4 {
				t.Errorf("%d objects, want 4", len(all))
			}
			template, container := etcdPod(t, all)
			var volumes, mounts []string
			for _, v := range template.Spec.Volumes {
				volumes = append(volumes, v.Name)
			}
			for _, m := range container.VolumeMounts {
				mounts = append(mounts, m.Name)
			}
			if !slices.Equal(volumes, c.volumes) || !slices.Equal(mounts, c.volumes) {
				t.Errorf("volumes %v, mounts %v; want %v", volumes, mounts, c.volumes)
			}
			secure := slices.ContainsFunc(container.Args, func(a string) bool { return a == "--client-cert-auth" })
			if secure != (c.scheme == "https") || !slices.Contains(container.Args, "--listen-client-urls="+c.scheme+"://0.0.0.0:2379") {
				t.Errorf("arguments %v", container.Args)
			}
			// Whoever runs etcdctl in there need not say where and who.
			if (len(container.Env) > 0) != secure {
				t.Errorf("environment %v", container.Env)
			}
			for _, e := range container.Env {
				if e.Name != "ETCDCTL_ENDPOINTS" && !isMounted(container, e.Value) {
					t.Errorf("%s=%s is not mounted", e.Name, e.Value)
				}
			}
			s := container.SecurityContext
			if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
				len(s.Capabilities.Add) > 0 || !*template.Spec.SecurityContext.RunAsNonRoot || template.Spec.HostNetwork || *template.Spec.AutomountServiceAccountToken {
				t.Errorf("etcd may do more than it needs: %+v, %+v", s, template.Spec)
			}
			for _, name := range []string{"polynic-etcd", "polynic-etcd-nodes"} {
				service := as[corev1.Service](t, all, "Service "+namespace+"/"+name)
				if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(template.Labels)) {
					t.Errorf("%s selects %v, not %v", name, service.Spec.Selector, template.Labels)
				}
				for _, p := range service.Spec.Ports {
					if p.TargetPort.StrVal != "client" {
						t.Errorf("%s: port %d leads to %v", name, p.Port, p.TargetPort)
					}
				}
			}
			// The three places that manifests look for it at.
			if p := as[corev1.Service](t, all, "Service "+namespace+"/polynic-etcd-nodes").Spec.Ports; len(p) != 1 || p[0].NodePort != 32379 {
				t.Errorf("ports of nodes: %v", p)
			}
			if p := as[corev1.Service](t, all, "Service "+namespace+"/polynic-etcd").Spec.Ports; len(p) != 2 || p[0].Port != 2379 || p[1].Port != 12379 {
				t.Errorf("ports in the cluster: %v", p)
			}
			if alias := as[corev1.Service](t, all, "Service kube-system/contiv-etcd").Spec; alias.ExternalName != "polynic-etcd."+namespace+".svc.cluster.local" {
				t.Errorf("Contiv's name leads to %q", alias.ExternalName)
			}
		})
	}
}

// The Secrets that `polynic etcd-certs` makes are those that are mounted, and etcd's
// is for the place that the agents look for it at. A node without them has its network.
func TestEtcdSecrets(t *testing.T) {
	all := kustomize(t, "linux-etcd")
	manifest, err := etcdcerts.Manifest(etcdcerts.Request{Now: time.Now(), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	secrets := objects(t, manifest)
	template, _ := etcdPod(t, all)
	mounted := template.Spec.Volumes[1].Secret
	server := as[corev1.Secret](t, secrets, "Secret "+namespace+"/"+mounted.SecretName)
	own := template.Spec.Volumes[2].Secret
	if *mounted.DefaultMode != 0o440 || *own.DefaultMode != 0o440 {
		t.Errorf("modes of the mounted keys: %o, %o", *mounted.DefaultMode, *own.DefaultMode)
	}
	as[corev1.Secret](t, secrets, "Secret "+namespace+"/"+own.SecretName)
	agent := as[appsv1.DaemonSet](t, all, "DaemonSet "+namespace+"/polynic-agent").Spec.Template.Spec
	at := slices.IndexFunc(agent.Volumes, func(v corev1.Volume) bool { return v.Name == "etcd" })
	if at < 0 || !*agent.Volumes[at].Secret.Optional {
		t.Fatalf("the agent's volumes: %v", agent.Volumes)
	}
	client := as[corev1.Secret](t, secrets, "Secret "+namespace+"/"+agent.Volumes[at].Secret.SecretName)
	config := agentEtcd(t, all)
	at = slices.IndexFunc(agent.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "etcd" })
	for field, name := range map[string]string{"caFile": "ca.crt", "certFile": "tls.crt", "keyFile": "tls.key"} {
		if want := agent.Containers[0].VolumeMounts[at].MountPath + "/" + name; config.TLS[field] != want || client.Data[name] == nil {
			t.Errorf("etcd.tls.%s is %q, want %q; in the Secret %d bytes", field, config.TLS[field], want, len(client.Data[name]))
		}
	}
	if len(config.Endpoints) != 1 {
		t.Fatalf("endpoints %v", config.Endpoints)
	}
	endpoint, err := url.Parse(config.Endpoints[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(server.Data["tls.crt"])
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.VerifyHostname(endpoint.Hostname()); err != nil || endpoint.Scheme != "https" || endpoint.Port() != "2379" {
		t.Errorf("agents use %s: %v", endpoint, err)
	}
	if dns := agent.DNSPolicy; dns != corev1.DNSClusterFirstWithHostNet {
		t.Errorf("the agent cannot look %s up: DNS policy %s", endpoint, dns)
	}
}

type etcdConfig struct {
	Endpoints []string          `json:"endpoints"`
	TLS       map[string]string `json:"tls"`
}

// agentEtcd is the agents' configuration of etcd.
func agentEtcd(t *testing.T, all map[string]map[string]any) etcdConfig {
	t.Helper()
	config := as[corev1.ConfigMap](t, all, "ConfigMap "+namespace+"/polynic-agent")
	var whole struct {
		Etcd etcdConfig `json:"etcd"`
	}
	if err := syaml.Unmarshal([]byte(config.Data["agent.yaml"]), &whole); err != nil {
		t.Fatal(err)
	}
	return whole.Etcd
}

// The overlay with etcd is the overlay linux, etcd, and what the agent needs for it.
func TestOverlayWithEtcd(t *testing.T) {
	all := kustomize(t, "linux-etcd")
	const config, agent = "ConfigMap " + namespace + "/polynic-agent", "DaemonSet " + namespace + "/polynic-agent"
	want := kustomize(t, "linux")
	maps.Copy(want, build(t, "etcd"))
	text := as[corev1.ConfigMap](t, want, config).Data["agent.yaml"]
	if got := as[corev1.ConfigMap](t, all, config).Data["agent.yaml"]; !strings.HasPrefix(got, text+"etcd:\n") {
		t.Errorf("the agents' configuration is that of the overlay linux no more (-linux +linux-etcd):\n%s", cmp.Diff(text, got))
	}
	set, plain := as[appsv1.DaemonSet](t, all, agent), as[appsv1.DaemonSet](t, want, agent)
	etcd := func(v corev1.Volume) bool { return v.Name == "etcd" }
	mount := func(m corev1.VolumeMount) bool { return m.Name == "etcd" }
	pod := &set.Spec.Template.Spec
	pod.Volumes = slices.DeleteFunc(pod.Volumes, etcd)
	pod.Containers[0].VolumeMounts = slices.DeleteFunc(pod.Containers[0].VolumeMounts, mount)
	if diff := cmp.Diff(plain, set); diff != "" {
		t.Errorf("the agent (-linux +linux-etcd):\n%s", diff)
	}
	const controller = "Deployment " + namespace + "/polynic-controller"
	one, plainOne := as[appsv1.Deployment](t, all, controller), as[appsv1.Deployment](t, want, controller)
	pod = &one.Spec.Template.Spec
	if !slices.ContainsFunc(pod.Volumes, etcd) || !slices.ContainsFunc(pod.Containers[0].VolumeMounts, mount) {
		t.Errorf("the controller has nothing to show etcd: %v, %v", pod.Volumes, pod.Containers[0].VolumeMounts)
	}
	pod.Volumes = slices.DeleteFunc(pod.Volumes, etcd)
	pod.Containers[0].VolumeMounts = slices.DeleteFunc(pod.Containers[0].VolumeMounts, mount)
	if diff := cmp.Diff(plainOne, one); diff != "" {
		t.Errorf("the controller (-linux +linux-etcd):\n%s", diff)
	}
	for _, key := range []string{config, agent, controller} {
		delete(all, key)
		delete(want, key)
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("everything else (-linux and etcd +linux-etcd):\n%s", diff)
	}
}

// In plain text it is the overlay linux, etcd in plain text, and the agents' setting.
func TestOverlayWithPlainEtcd(t *testing.T) {
	all, want := kustomize(t, "linux-etcd-plain"), kustomize(t, "linux")
	maps.Copy(want, kustomize(t, "etcd-plain"))
	const config = "ConfigMap " + namespace + "/polynic-agent"
	text := as[corev1.ConfigMap](t, want, config).Data["agent.yaml"]
	if got := as[corev1.ConfigMap](t, all, config).Data["agent.yaml"]; !strings.HasPrefix(got, text+"etcd:\n") {
		t.Errorf("the agents' configuration is that of the overlay linux no more (-linux +linux-etcd-plain):\n%s", cmp.Diff(text, got))
	}
	etcd := agentEtcd(t, all)
	if !slices.Equal(etcd.Endpoints, []string{"http://polynic-etcd." + namespace + ".svc:2379"}) || etcd.TLS != nil {
		t.Errorf("agents use %+v", etcd)
	}
	delete(all, config)
	delete(want, config)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("everything else (-linux and etcd-plain +linux-etcd-plain):\n%s", diff)
	}
}
