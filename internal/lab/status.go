// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/lab/node"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
)

// Status is what there is of a lab, and what of it is alive.
type Status struct {
	State    string   `json:"state"`
	Settings Settings `json:"settings"`
	Daemon   Daemon   `json:"daemon"`
	Nodes    []Node   `json:"nodes"`
	Outside  Netns    `json:"outside"`
	Pods     []PodNow `json:"pods"`
	// Etcd is the endpoint, on the machine's loopback, of the etcd in which the
	// agents of pods are told what is theirs; null where none is served. EtcdServer is
	// its process.
	Etcd       *string `json:"etcd"`
	EtcdServer *Proc   `json:"etcdServer"`
}

// Proc is one process. PID is 0 where none was ever started.
type Proc struct {
	PID   int  `json:"pid"`
	Alive bool `json:"alive"`
	// Restarts counts how often the lab's background process started it again.
	Restarts int `json:"restarts"`
	// LastRestart is when that was last; null where it was not, or is not known.
	LastRestart *time.Time `json:"lastRestart"`
	Log         string     `json:"log,omitempty"`
}

// Daemon is the lab's background process.
type Daemon struct {
	Proc
	Socket string `json:"socket"`
}

// Netns is a network namespace.
type Netns struct {
	// Path is usable from anywhere on the machine, as in
	// nsenter --net=PATH; empty where the namespace is gone.
	Path      string       `json:"netns"`
	Addresses []netip.Addr `json:"addresses"`
}

// Node is one node.
type Node struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Netns
	// Ready: the agent serves requests.
	Ready  bool `json:"ready"`
	Holder Proc `json:"holder"`
	Agent  Proc `json:"agent"`
	Relay  Proc `json:"relay"`
	// VPP is what switches, where the lab runs it; null elsewhere.
	VPP *Proc `json:"vpp"`
	// RelayWorker is the relay's child, which holds the taps and memifs.
	RelayWorker Proc `json:"relayWorker"`
	// Sockets by what they are for.
	Sockets map[string]string `json:"sockets"`
	// Config is the agent's configuration file, CNI the folder of the network
	// configuration.
	Config string `json:"config"`
	CNI    string `json:"cni"`
}

// PodNow is one pod.
type PodNow struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Phase is Running while a container runs, then Succeeded or Failed;
	// before and after it is the daemon's step, Starting or Stopping.
	Phase      string         `json:"phase"`
	Sandbox    string         `json:"sandbox"`
	Netns      string         `json:"netns"`
	IPs        []netip.Addr   `json:"ips"`
	Containers []ContainerNow `json:"containers"`
}

// ContainerNow is one container.
type ContainerNow struct {
	Name string `json:"name"`
	Init bool   `json:"init"`
	PID  int    `json:"pid"`
	// State is "running" or "exited".
	State string `json:"state"`
	// ExitCode is null while it runs, and where nobody saw how it ended.
	ExitCode *int   `json:"exitCode"`
	Log      string `json:"log"`
}

// ReadStatus reads what there is of the lab. It needs no daemon.
func ReadStatus(ctx context.Context, stateDir string) (Status, error) {
	dir, err := open(stateDir)
	if err != nil {
		return Status{}, err
	}
	s := Status{State: string(dir), Settings: DefaultSettings()}
	if err := state.Read(dir.Settings(), &s.Settings); err != nil {
		return s, err
	}
	cfg, err := s.Settings.Config(dir)
	if err != nil {
		return s, err
	}
	pods, err := ReadPods(dir)
	if err != nil {
		return s, err
	}
	s.Daemon = Daemon{Proc: proc(dir, DaemonRecord, dir.DaemonLog()), Socket: dir.Socket()}
	n := nodeNow(ctx, dir, s.Settings, cfg)
	s.Nodes = []Node{n}
	s.Etcd, s.EtcdServer = etcdNow(dir, s.Settings)
	s.Outside = Netns{Path: n.netnsPath(dir, OutsideName), Addresses: addresses(node.Outside())}
	s.Pods = []PodNow{}
	for _, p := range pods {
		now := p.now(dir)
		now.Netns = n.netnsPath(dir, p.NetnsName())
		s.Pods = append(s.Pods, now)
	}
	return s, nil
}

func nodeNow(ctx context.Context, dir state.Dir, settings Settings, cfg config.Config) Node {
	files := dir.Node(NodeName)
	n := Node{
		Name: cfg.NodeName, ID: cfg.NodeID,
		Holder:  proc(dir, HolderRecord, ""),
		Agent:   proc(dir, AgentRecord, files.Log(AgentRecord)),
		Relay:   proc(dir, RelayRecord, files.Log(RelayRecord)),
		Sockets: map[string]string{"cni": cfg.CNISocket(), "inspect": cfg.InspectSocket(), "relay": cfg.RelaySocket()},
		Config:  files.AgentConfig(),
		CNI:     dir.CNIConf(),
	}
	if cfg.Dataplane == config.DataplaneVPP {
		n.Sockets["vpp"], n.Sockets["vpp-cli"], n.Sockets["vpp-stats"] = cfg.VPP.APISocket, cfg.VPP.CLISocket, cfg.VPP.StatsSocket
	}
	if settings.runsVPP() {
		p := proc(dir, VPPRecord, files.Log(VPPRecord))
		n.VPP = &p
	}
	n.RelayWorker = worker(n.Relay)
	n.Netns = Netns{Path: n.netnsPath(dir, NodeName), Addresses: addresses(node.Uplink())}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := inspect.NewClient(cfg.InspectSocket()).Status(ctx)
	n.Ready = err == nil && status.Ready
	if err == nil && status.Relay != nil {
		n.RelayWorker.Restarts, n.RelayWorker.LastRestart = status.Relay.Restarts, status.Relay.LastRestart
	}
	return n
}

// etcdNow is where etcd serves, and its process.
func etcdNow(dir state.Dir, settings Settings) (*string, *Proc) {
	if !settings.servesEtcd() {
		return nil, nil
	}
	p := proc(dir, EtcdRecord, dir.EtcdLog())
	endpoint, err := EtcdEndpoint(dir)
	if err != nil {
		return nil, &p // it has not served yet
	}
	return &endpoint, &p
}

// EtcdEndpoint is the URL at which etcd serves, as it wrote it down.
func EtcdEndpoint(dir state.Dir) (string, error) {
	var at struct {
		URL string `json:"url"`
	}
	err := state.Read(dir.EtcdEndpoint(), &at)
	return at.URL, err
}

// netnsPath is a namespace's path from anywhere, while something holds it.
func (n Node) netnsPath(dir state.Dir, name string) string {
	for _, p := range []Proc{n.Holder, n.Agent, n.Relay} {
		if p.Alive {
			return dir.NetnsOf(strconv.Itoa(p.PID), name)
		}
	}
	return ""
}

func addresses(prefixes []netip.Prefix) []netip.Addr {
	list := make([]netip.Addr, len(prefixes))
	for i, p := range prefixes {
		list[i] = p.Addr()
	}
	return list
}

func proc(dir state.Dir, record, log string) Proc {
	var r node.Record
	if err := state.Read(dir.Process(record), &r); err != nil {
		return Proc{Log: log}
	}
	return Proc{PID: r.PID, Alive: r.Alive(), Restarts: r.Restarts, Log: log}
}

// worker is the one child of a relay that lives, which starts it again by itself;
// how often, the agent knows.
func worker(relay Proc) Proc {
	if !relay.Alive {
		return Proc{}
	}
	for _, child := range process.Children(relay.PID) {
		return Proc{PID: child.PID, Alive: true, Log: relay.Log}
	}
	return Proc{Log: relay.Log}
}

func (p *Pod) now(dir state.Dir) PodNow {
	now := PodNow{
		Namespace: p.Manifest.Namespace, Name: p.Manifest.Name, UID: string(p.Manifest.UID),
		Sandbox: p.Sandbox, IPs: append([]netip.Addr{}, p.IPs...), Containers: []ContainerNow{},
	}
	failed, running := false, false
	for _, c := range p.Containers {
		n := ContainerNow{
			Name: c.Name, Init: c.Init, PID: c.Process.PID, State: "exited", ExitCode: c.ExitCode,
			Log: p.files(dir, c.Name).Log(),
		}
		switch {
		case c.ExitCode == nil && c.Process.Alive():
			n.State = "running"
			running = true
		case c.ExitCode == nil || *c.ExitCode < 0:
			n.ExitCode = nil
			failed = true
		default:
			failed = failed || *c.ExitCode != 0
		}
		now.Containers = append(now.Containers, n)
	}
	switch {
	case p.Step == Starting:
		now.Phase = "Starting"
	case p.Step == Stopping:
		now.Phase = "Stopping"
	case running:
		now.Phase = "Running"
	case failed:
		now.Phase = "Failed"
	default:
		now.Phase = "Succeeded"
	}
	return now
}
