// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/internal/netns"
)

// NetworkName is the CNI network of the tests.
const NetworkName = "polynic"

// cniLimit bounds one execution of the CNI binary; it is kubelet's.
const cniLimit = 2 * time.Minute

func (n *Node) prepareCNI() {
	n.TB.Helper()
	n.list = n.Network(NetworkName)
	n.cni = libcni.NewCNIConfigWithCacheDir(n.cniPath(), n.cniCache(), executor{&invoke.DefaultExec{RawExec: &invoke.RawExec{}}})
}

func (n *Node) cniPath() []string { return []string{filepath.Dir(Bin("polynic-cni"))} }
func (n *Node) cniCache() string  { return filepath.Join(n.Dir, "cni-cache") }

// ForgetResult takes from the runtime what it remembers of the pod's ADD.
func (p *Pod) ForgetResult() error {
	files, err := filepath.Glob(filepath.Join(p.node.cniCache(), "results", "*"+p.ContainerID+"*"))
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("%d files with results of %s", len(files), p.Name)
	}
	if err != nil {
		return err
	}
	return os.Remove(files[0])
}

// ConfList is the network configuration, in a CNI version.
func (n *Node) ConfList(version, name string) []byte {
	return fmt.Appendf(nil, `{"cniVersion":%q,"name":%q,"plugins":[{"type":"polynic-cni","socket":%q,"stateDir":%q}]}`,
		version, name, n.Config.CNISocket(), n.Config.StateDir)
}

// CNI is libcni with the node's binary.
func (n *Node) CNI() *libcni.CNIConfig { return n.cni }

// List is the node's network.
func (n *Node) List() *libcni.NetworkConfigList { return n.list }

// Pod is a sandbox: a network namespace and what the runtime says of it.
type Pod struct {
	node        *Node
	Name, UID   string
	ContainerID string
	Netns       string // path
	IfName      string // of the main interface
	memifs      int    // that it asks for
	// List is the network that the pod is attached to.
	List *libcni.NetworkConfigList
}

// Pod makes a pod of a fresh name with the annotation, and its sandbox.
func (n *Node) Pod(annotation string) *Pod {
	n.TB.Helper()
	p, err := n.NewPod(annotation)
	if err != nil {
		n.TB.Fatal(err)
	}
	return p
}

// NewPod is Pod for goroutines other than the test's.
func (n *Node) NewPod(annotation string) (*Pod, error) {
	name := fmt.Sprintf("pod-%d", n.pods.Add(1))
	if err := n.putPod(name, "uid-"+name, annotation); err != nil {
		return nil, err
	}
	p, err := n.newSandbox(name, "uid-"+name)
	if err == nil {
		p.memifs = strings.Count(annotation, "/memif")
	}
	return p, err
}

// WritePod puts a pod's manifest where the agent reads them.
func (n *Node) WritePod(name, uid, annotation string) {
	n.TB.Helper()
	if err := n.putPod(name, uid, annotation); err != nil {
		n.TB.Fatal(err)
	}
}

// DeletePod removes a pod's manifest.
func (n *Node) DeletePod(name string) error {
	return os.Remove(n.manifest(name))
}

// DeletePods removes every manifest.
func (n *Node) DeletePods() {
	n.TB.Helper()
	entries, err := os.ReadDir(n.PodDir())
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(n.PodDir(), e.Name())))
	}
	if err != nil {
		n.TB.Error(err)
	}
}

func (n *Node) manifest(pod string) string { return filepath.Join(n.PodDir(), pod+".json") }

// PodDir is the folder of manifests that the agent reads.
func (n *Node) PodDir() string { return filepath.Join(n.Dir, "pods") }

func (n *Node) putPod(name, uid, annotation string) error {
	manifest := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"default","uid":%q,`+
		`"annotations":{"contivpp.io/custom-if":%q}},"spec":{"containers":[{"name":"main","image":"none"}]}}`, name, uid, annotation)
	path := n.manifest(name)
	if err := os.WriteFile(path+".new", manifest, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Sandbox makes a new sandbox for a pod. Its namespace goes with the test.
func (n *Node) Sandbox(name, uid string) *Pod {
	n.TB.Helper()
	p, err := n.newSandbox(name, uid)
	if err != nil {
		n.TB.Fatal(err)
	}
	return p
}

func (n *Node) newSandbox(name, uid string) (*Pod, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", n.Dir, n.pods.Add(1)))
	p := &Pod{node: n, Name: name, UID: uid, ContainerID: hex.EncodeToString(sum[:]), IfName: "eth0", List: n.list}
	p.Netns = "/run/netns/cni-" + p.ContainerID[:12]
	n.TB.Cleanup(func() { _ = netns.Unpin(p.Netns) })
	return p, p.MakeNetns()
}

// Runtime is what libcni needs to know of the sandbox.
func (p *Pod) Runtime() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: p.ContainerID, NetNS: p.Netns, IfName: p.IfName,
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", "default"},
			{"K8S_POD_NAME", p.Name},
			{"K8S_POD_UID", p.UID},
			{"K8S_POD_INFRA_CONTAINER_ID", p.ContainerID},
		},
	}
}

// Add is CNI ADD, after kubelet has admitted the pod.
func (p *Pod) Add() (*types100.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cniLimit)
	defer cancel()
	if err := p.admit(ctx); err != nil {
		return nil, err
	}
	result, err := p.node.cni.AddNetworkList(ctx, p.List, p.Runtime())
	if err != nil {
		return nil, err
	}
	return types100.GetResult(result)
}

// MustAdd is Add that must succeed.
func (p *Pod) MustAdd() *types100.Result {
	p.node.TB.Helper()
	result, err := p.Add()
	if err != nil {
		p.node.TB.Fatalf("ADD of %s: %v", p.Name, err)
	}
	return result
}

// Del is CNI DEL.
func (p *Pod) Del() error {
	ctx, cancel := context.WithTimeout(context.Background(), cniLimit)
	defer cancel()
	return p.node.cni.DelNetworkList(ctx, p.List, p.Runtime())
}

// MustDel is Del that must succeed.
func (p *Pod) MustDel() {
	p.node.TB.Helper()
	if err := p.Del(); err != nil {
		p.node.TB.Fatalf("DEL of %s: %v", p.Name, err)
	}
}

// Check is CNI CHECK.
func (p *Pod) Check() error {
	ctx, cancel := context.WithTimeout(context.Background(), cniLimit)
	defer cancel()
	return p.node.cni.CheckNetworkList(ctx, p.List, p.Runtime())
}

// Destroy ends the sandbox's namespace, as a runtime does after DEL.
func (p *Pod) Destroy() {
	p.node.TB.Helper()
	if err := netns.Unpin(p.Netns); err != nil {
		p.node.TB.Error(err)
	}
}

// MakeNetns makes the sandbox's namespace where there is none.
func (p *Pod) MakeNetns() error {
	if err := netns.Pin(p.Netns); err != nil {
		return err
	}
	return p.Run("ip", "link", "set", "lo", "up")
}

// Run runs a command in the sandbox's network namespace.
func (p *Pod) Run(command string, args ...string) error {
	_, err := p.Output(command, args...)
	return err
}

// Output is Run with what the command prints.
func (p *Pod) Output(command string, args ...string) (string, error) {
	h, err := netns.Open(p.Netns)
	if err != nil {
		return "", err
	}
	defer h.Close()
	cmd := exec.Command(command, args...)
	var out []byte
	err = h.Do(func() error {
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		err = fmt.Errorf("%s in %s: %w: %s", cmd, p.Name, err, out)
	}
	return string(out), err
}

// Ping sends one echo request from the interface and wants the answer within
// a second.
func (p *Pod) Ping(from, to string) error {
	return p.Run("ping", "-n", "-c", "1", "-W", "1", "-I", from, to)
}

// IP is the n-th address of an interface in an ADD result, without length:
// 0 is IPv4 and 1 is IPv6 on a dual stack node.
func IP(result *types100.Result, name string, n int) string {
	for index, i := range result.Interfaces {
		if i.Name != name || i.Sandbox == "" {
			continue
		}
		for _, ip := range result.IPs {
			if ip.Interface != nil && *ip.Interface == index {
				if n == 0 {
					return ip.Address.IP.String()
				}
				n--
			}
		}
	}
	return ""
}

// Marks are what no two pods may have in common: addresses and MACs.
func Marks(result *types100.Result) []string {
	var list []string
	for _, ip := range result.IPs {
		list = append(list, ip.Address.IP.String())
	}
	for _, i := range result.Interfaces {
		list = append(list, i.Mac)
	}
	return list
}

// CodeOf is the CNI error code of an error of libcni; 0 where it has none.
func CodeOf(err error) uint {
	var cniErr *types.Error
	if errors.As(err, &cniErr) {
		return cniErr.Code
	}
	return 0
}
