// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package state is a lab's state folder: where everything in it lies, whose it
// is, and who may work on it. Several labs run beside each other because
// everything a lab keeps is in its own folder.
package state

import (
	"path/filepath"
)

// Dir is the absolute path of a state folder.
type Dir string

// Socket is where the lab's daemon listens.
func (d Dir) Socket() string { return d.join("lab.sock") }

// DaemonLog is the log of the lab's daemon.
func (d Dir) DaemonLog() string { return d.join("daemon.log") }

// Settings is what the lab was started with.
func (d Dir) Settings() string { return d.join("settings.json") }

// Process is the record of one of the lab's own processes.
func (d Dir) Process(name string) string { return d.join("processes", name+".json") }

// NetnsDir holds the pinned network namespaces. It is a tmpfs in the lab's
// mount namespace, and empty outside.
func (d Dir) NetnsDir() string { return d.join("netns") }

// Netns is where a network namespace is pinned, as seen in the lab's mount
// namespace.
func (d Dir) Netns(name string) string { return filepath.Join(d.NetnsDir(), name) }

// NetnsOf is where a network namespace is seen from anywhere on the machine,
// through a process in the lab's mount namespace.
func (d Dir) NetnsOf(pid, name string) string {
	return filepath.Join("/proc", pid, "root") + d.Netns(name)
}

// CNIConf is the folder of the CNI network configuration; CNICache is what
// libcni remembers of its attachments.
func (d Dir) CNIConf() string { return d.join("cni", "net.d") }

// CNICache is what libcni remembers of its attachments.
func (d Dir) CNICache() string { return d.join("cni", "cache") }

// PodsDir holds a folder for each pod.
func (d Dir) PodsDir() string { return d.join("pods") }

// Pod is the folder of one pod. Neither part of its name can hold the
// underscore that joins them.
func (d Dir) Pod(namespace, name string) string {
	return filepath.Join(d.PodsDir(), namespace+"_"+name)
}

// ConfigMapsDir holds the ConfigMaps that were applied.
func (d Dir) ConfigMapsDir() string { return d.join("configmaps") }

// ConfigMap is the file of one ConfigMap.
func (d Dir) ConfigMap(namespace, name string) string {
	return filepath.Join(d.ConfigMapsDir(), namespace+"_"+name+".json")
}

// Etcd is the folder of etcd's data.
func (d Dir) Etcd() string { return d.join("etcd", "data") }

// EtcdLog is the log of etcd.
func (d Dir) EtcdLog() string { return d.join("etcd", "log") }

// EtcdEndpoint is the file that says where etcd serves.
func (d Dir) EtcdEndpoint() string { return d.join("etcd", "endpoint.json") }

// Node is one node's part of the folder.
func (d Dir) Node(name string) NodeDir { return NodeDir(d.join("nodes", name)) }

// NodeDir is one node's part of a state folder.
type NodeDir string

// AgentConfig is the agent's configuration file.
func (n NodeDir) AgentConfig() string { return filepath.Join(string(n), "agent.json") }

// AgentState is the agent's state folder, RelayState the relay's.
func (n NodeDir) AgentState() string { return filepath.Join(string(n), "agent") }

// RelayState is the relay's state folder.
func (n NodeDir) RelayState() string { return filepath.Join(string(n), "relay") }

// Run holds the node's sockets.
func (n NodeDir) Run() string { return filepath.Join(string(n), "run") }

// Kubelet is the folder of the part of kubelet that device plugins know.
func (n NodeDir) Kubelet() string { return filepath.Join(string(n), "kubelet") }

// Manifests is the folder that the agent reads pods from.
func (n NodeDir) Manifests() string { return filepath.Join(string(n), "manifests") }

// Log is where a program of the node writes.
func (n NodeDir) Log(program string) string { return filepath.Join(string(n), program+".log") }

func (d Dir) join(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}
