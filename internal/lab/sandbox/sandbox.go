// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package sandbox is what a container runtime does for a pod before its
// containers: a network namespace, attached through a CNI plugin. The plugin
// is executed by the CNI library, as containerd and CRI-O do it.
package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/model"
)

// What every pod of the lab is attached with.
const (
	networkName = "polynic"
	pluginType  = "polynic-cni"
	ifName      = "eth0"
	// verbTimeout bounds one execution of the plugin.
	verbTimeout = time.Minute
)

// Config says where things are.
type Config struct {
	// PluginDir is the folder of the plugin's program.
	PluginDir string
	// ConfDir takes the network configuration, CacheDir what the CNI library
	// remembers.
	ConfDir, CacheDir string
	// Socket and StateDir are the agent's.
	Socket, StateDir string
}

// Network attaches sandboxes. It is safe for concurrent use, as long as no
// sandbox is worked on twice at a time.
type Network struct {
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
}

// New writes the network configuration and makes a network of it.
func New(cfg Config) (*Network, error) {
	content, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.1.0",
		"name":       networkName,
		"plugins": []map[string]any{
			{"type": pluginType, "socket": cfg.Socket, "stateDir": cfg.StateDir},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	if err := state.WriteBytes(filepath.Join(cfg.ConfDir, "10-polynic.conflist"), append(content, '\n')); err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	list, err := libcni.LoadNetworkConf(cfg.ConfDir, networkName)
	if err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	// Without one of ours, the library makes it at the first use, in a race
	// with the second.
	exec := &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}
	return &Network{
		cni:  libcni.NewCNIConfigWithCacheDir([]string{cfg.PluginDir}, cfg.CacheDir, exec),
		list: list,
	}, nil
}

// Sandbox is one pod's network namespace as the runtime knows it.
type Sandbox struct {
	// ID is the container id that CNI speaks of.
	ID string
	// Netns is the path of the namespace.
	Netns string
	Pod   model.PodRef
}

// NewID is a container id like those of container runtimes: 64 hexadecimal
// digits.
func NewID() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// Add attaches the sandbox, and gives the addresses of its main interface,
// IPv4 first. After an error the caller must call Del, as runtimes do.
func (n *Network) Add(ctx context.Context, s Sandbox) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	added, err := n.cni.AddNetworkList(ctx, n.list, s.runtimeConf())
	if err != nil {
		return nil, reason(err)
	}
	result, err := types100.NewResultFromResult(added)
	if err != nil {
		return nil, fmt.Errorf("result of %s: %w", pluginType, err)
	}
	return mainAddresses(result), nil
}

// Del detaches the sandbox. It may be called at any time and any number of
// times.
func (n *Network) Del(ctx context.Context, s Sandbox) error {
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	return reason(n.cni.DelNetworkList(ctx, n.list, s.runtimeConf()))
}

func (s Sandbox) runtimeConf() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: s.ID,
		NetNS:       s.Netns,
		IfName:      ifName,
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", s.Pod.Namespace},
			{"K8S_POD_NAME", s.Pod.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", s.ID},
			{"K8S_POD_UID", s.Pod.UID},
		},
	}
}

// reason is what the plugin itself said, where it did.
func reason(err error) error {
	var said *types.Error
	if !errors.As(err, &said) {
		return err
	}
	text := said.Msg
	if said.Details != "" {
		text += ": " + said.Details
	}
	return fmt.Errorf("%s (CNI error %d)", text, said.Code)
}

func mainAddresses(result *types100.Result) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, ip := range result.IPs {
		if ip.Interface == nil || *ip.Interface < 0 || *ip.Interface >= len(result.Interfaces) ||
			result.Interfaces[*ip.Interface].Name != ifName {
			continue
		}
		switch address, ok := netip.AddrFromSlice(ip.Address.IP); {
		case !ok:
		case address.Unmap().Is4():
			v4 = append(v4, address.Unmap())
		default:
			v6 = append(v6, address)
		}
	}
	return append(v4, v6...)
}
