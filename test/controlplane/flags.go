// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"path/filepath"

	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
)

func (p *Plane) serverFlags(store, port string) []string {
	flags := []string{
		"--etcd-servers=" + store,
		"--bind-address=" + p.config.Address.String(), "--secure-port=" + port,
		"--tls-cert-file=" + p.path("server.crt"), "--tls-private-key-file=" + p.path("server.key"),
		"--cert-dir=" + p.Dir,
		"--client-ca-file=" + p.CA(),
		"--kubelet-client-certificate=" + p.path("kubelet-client.crt"), "--kubelet-client-key=" + p.path("kubelet-client.key"),
		"--kubelet-certificate-authority=" + p.CA(),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + p.path("accounts.key"), "--service-account-key-file=" + p.path("accounts.key"),
		"--service-cluster-ip-range=" + ServiceRanges,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--shutdown-delay-duration=0s", "--profiling=false",
	}
	if p.config.Address.IsLoopback() {
		// An endpoint may not be on loopback: it has none, at an address of nobody.
		return append(flags, "--endpoint-reconciler-type=none", "--advertise-address=192.0.2.1")
	}
	return append(flags, "--advertise-address="+p.config.Address.String())
}

// StartControllers starts the controller manager and the scheduler, and waits
// until pods can be made.
func (p *Plane) StartControllers() {
	p.t.Helper()
	for program, flags := range map[string][]string{
		"kube-controller-manager": {
			"--use-service-account-credentials", "--service-account-private-key-file=" + p.path("accounts.key"),
			"--root-ca-file=" + p.CA(),
			"--allocate-node-cidrs", "--cluster-cidr=" + PodRanges, "--node-cidr-mask-size-ipv4=20", "--service-cluster-ip-range=" + ServiceRanges,
		},
		"kube-scheduler": nil,
	} {
		config := p.Kubeconfig("system:" + program)
		harness.Program{
			Path: kubebin.Need(p.t, program), Log: filepath.Join(p.Dir, program+".log"),
			Args: append(flags, "--kubeconfig="+config, "--leader-elect=false", "--secure-port=0"),
		}.Start(p.t)
	}
	Eventually(p.t, starting, func() error {
		_, err := p.TryKubectl("get", "serviceaccount", "default")
		return err
	})
}
