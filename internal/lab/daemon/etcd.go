// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/node"
)

// etcdPause is the longest before an etcd that died is started again.
const etcdPause = time.Second

// etcd is the program that serves on the machine's loopback and, by a part of it,
// at the node's addresses.
func (d *Daemon) etcd() node.Program {
	var ports []string
	for _, port := range lab.EtcdPorts() {
		ports = append(ports, strconv.Itoa(port))
	}
	return node.Program{
		Name: lab.EtcdRecord, Log: d.Dir.EtcdLog(), Netns: "/proc/thread-self/ns/net", LongestPause: etcdPause,
		Argv: append(slices.Clone(d.Gate), filepath.Join(d.Programs, lab.EtcdProgram), "--data", d.Dir.Etcd(),
			"--endpoint", d.Dir.EtcdEndpoint(), "--netns", d.Dir.Netns(lab.NodeName), "--ports", strings.Join(ports, ",")),
	}
}

// waitEtcd waits until etcd serves, if there is one: whoever asks for the lab's
// status is to be told where.
func (d *Daemon) waitEtcd(ctx context.Context) error {
	if !d.agent.Etcd.Enabled() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := d.etcdServes(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case death := <-d.death():
			return death
		case <-ctx.Done():
			return fmt.Errorf("etcd does not serve after %s: %w", readyTimeout, err)
		}
	}
}

// etcdServes reports whether the endpoint that was written down, maybe by an
// earlier etcd, is one.
func (d *Daemon) etcdServes(ctx context.Context) error {
	endpoint, err := lab.EtcdEndpoint(d.Dir)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(endpoint, "http://"))
	if err != nil {
		return err
	}
	return conn.Close()
}

// checkEtcd refuses a pod whose own agent is to be told by an etcd that the lab has
// not. The node's agent would, too, but how a lab gets one it does not know.
func (d *Daemon) checkEtcd(manifest *corev1.Pod) error {
	request, _ := podif.Parse(manifest.Annotations[podif.CustomIfAnnotation])
	err := d.settings.EtcdAbsence()
	if err == nil || len(request) == 0 || manifest.Annotations[podif.MicroserviceLabelAnnotation] == "" {
		return nil
	}
	return fmt.Errorf("annotation %s asks for configuration through etcd, and there is none: %w", podif.MicroserviceLabelAnnotation, err)
}
