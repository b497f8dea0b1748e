// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// NetConf is the configuration that libcni makes of ConfList for the binary.
func (n *Node) NetConf(version, name string) []byte {
	return fmt.Appendf(nil, `{"cniVersion":%q,"name":%q,"type":"polynic-cni","socket":%q,"stateDir":%q}`,
		version, name, n.Config.CNISocket(), n.Config.StateDir)
}

// Call executes the CNI binary for the pod without libcni, as a runtime may
// that has lost half of what it knew. Of the environment, settings (KEY=VALUE)
// come last and win. The error is the binary's answer, a *types.Error.
func (p *Pod) Call(command string, netConf []byte, settings ...string) error {
	env := []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + p.ContainerID, "CNI_NETNS=" + p.Netns, "CNI_IFNAME=" + p.IfName,
		"CNI_PATH=/", "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + p.Name + ";K8S_POD_UID=" + p.UID,
	}
	ctx, cancel := context.WithTimeout(context.Background(), cniLimit)
	defer cancel()
	_, err := execute(ctx, Bin("polynic-cni"), netConf, append(env, settings...))
	return err
}

// GC is CNI GC with the pods as the only valid attachments of the network; nil
// goes out as null. The runtime is one that remembers no attachment itself, so
// that nothing is deleted by other means.
func (n *Node) GC(list *libcni.NetworkConfigList, valid []types.GCAttachment) error {
	ctx, cancel := context.WithTimeout(context.Background(), cniLimit)
	defer cancel()
	forgetful := libcni.NewCNIConfigWithCacheDir(n.cniPath(), n.TB.TempDir(), nil)
	return forgetful.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
}

// Attachment is how a GC names the pod.
func (p *Pod) Attachment() types.GCAttachment {
	return types.GCAttachment{ContainerID: p.ContainerID, IfName: p.IfName}
}

// CNIStatus is CNI STATUS, which must answer within a second.
func (n *Node) CNIStatus() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience(time.Second))
	defer cancel()
	return n.cni.GetStatusNetworkList(ctx, n.list)
}

// Network is another CNI network of the node.
func (n *Node) Network(name string) *libcni.NetworkConfigList {
	n.TB.Helper()
	list, err := libcni.NetworkConfFromBytes(n.ConfList("1.1.0", name))
	if err != nil {
		n.TB.Fatal(err)
	}
	return list
}
