// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/kubenode"
	"github.com/polynic/polynic/test/registry"
)

// etcdAddress is where the documents have the etcd that pods' own agents read.
const etcdAddress = kubenode.DocumentsAddress + ":32379"

// startEtcd starts the documents' etcd on the node's machine.
func startEtcd(t *testing.T) {
	t.Helper()
	dir, url := t.TempDir(), "http://"+etcdAddress
	const peers = "http://127.0.0.1:32380"
	harness.Program{Path: kubebin.Need(t, "etcd"), Log: filepath.Join(dir, "etcd.log"), Args: []string{
		"--name=pods", "--data-dir=" + filepath.Join(dir, "data"), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls=" + url, "--advertise-client-urls=" + url,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=pods=" + peers,
	}}.Start(t)
}

// vnfagentFiles are the program that stands in for VPP and its agent in a pod.
func vnfagentFiles(t *testing.T) []registry.File {
	t.Helper()
	return []registry.File{{Path: "/usr/bin/vnfagent", From: compiled(t, "test/vnfagent")}}
}

// etcd has the pod of the documents' last example configured through etcd: it
// answers at the address that it was told there, also where its agent ran before
// the keys were there. One with the same label is refused, and everything goes
// with the pod.
func (s suite) etcd() {
	s.Apply(manifest(s.t, "vnf-etcd-pod.yaml"))
	s.Apply(shellPod("ping-pod", ""))
	s.waitPods(2)
	address := s.address("vnf-pod", "memif1")
	controlplane.Eventually(s.t, time.Minute, func() error {
		_, err := s.TryKubectl("exec", "ping-pod", "--", "ping", "-c", "1", "-W", "1", address)
		return err
	})
	s.expectLog("vnf-pod", "memif1: memif0/0, ["+address+"/32", 1)
	s.expectLog("vnf-pod", "memif1: connected", 1)
	client, err := store.Dial(clientv3.Config{Endpoints: []string{"http://" + etcdAddress}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	s.keysAfterAgent(client, address)
	s.Apply(strings.Replace(shellPod("twin", "tap1/tap"), "annotations: {", "annotations: {contivpp.io/microservice-label: vnf1, ", 1))
	controlplane.Eventually(s.t, time.Minute, func() error {
		events, err := s.TryKubectl("get", "events", "--field-selector", "involvedObject.name=twin", "-o", "jsonpath={.items[*].message}")
		if err == nil && (!strings.Contains(events, "default/twin") || !strings.Contains(events, "default/vnf-pod")) {
			err = fmt.Errorf("events: %s", events)
		}
		return err
	})
	s.Kubectl("delete", "pod", "vnf-pod", "ping-pod")
	s.waitPods(1) // twin's turn
	s.Kubectl("delete", "pod", "twin", "--grace-period=1")
	controlplane.Eventually(s.t, time.Minute, func() error {
		left, err := client.Get(context.Background(), "/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err == nil && len(left.Kvs) > 0 {
			err = fmt.Errorf("%d keys are left, %s is the first", len(left.Kvs), left.Kvs[0].Key)
		}
		return err
	})
}

// keysAfterAgent empties etcd while no agent of polynic's runs, so that the
// stand-in, which runs on in its pod, has no interface and waits for keys. Then
// they come, and it connects again and answers.
func (s suite) keysAfterAgent(client *clientv3.Client, address string) {
	s.agent.Agent.Kill()
	if _, err := client.Delete(context.Background(), "/", clientv3.WithPrefix()); err != nil {
		s.t.Fatal(err)
	}
	const removed, connected = "memif1: removed", "memif1: connected"
	s.expectLog("vnf-pod", removed, 1)
	s.expectLog("vnf-pod", connected, 1)
	if _, err := s.TryKubectl("exec", "ping-pod", "--", "ping", "-c", "1", "-W", "1", address); err == nil {
		s.t.Error("the stand-in answers without an interface")
	}
	s.agent.StartAgent()
	s.agent.WaitReady()
	s.expectLog("vnf-pod", connected, 2)
	s.exec("ping-pod", "ping", "-c", "3", "-W", "2", address)
	if restarts := s.Kubectl("get", "pod", "vnf-pod", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); restarts != "0" {
		s.t.Errorf("the stand-in was started anew %s times", restarts)
	}
}

// expectLog waits until a pod has said something as often as that.
func (s suite) expectLog(pod, text string, times int) {
	s.t.Helper()
	controlplane.Eventually(s.t, time.Minute, func() error {
		said, err := s.TryKubectl("logs", pod)
		if n := strings.Count(said, text); err == nil && n != times {
			err = fmt.Errorf("%q is said %d times, not %d, in %s", text, n, times, said)
		}
		return err
	})
}
