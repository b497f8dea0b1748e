// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package polynic_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/polynic/polynic/"

// layer is what a package, or (PATH/...) every package of a folder, may import
// of ours beside the folder's own packages, and why nothing else.
type layer struct {
	path string
	may  []string
	why  string
}

// layers is the direction of imports, from the top down: cmd, agent, the
// sources of requests, the pod path, what it is made of, nouns. The first entry
// that fits a package is the one that counts.
func layers() []layer {
	return []layer{
		{"cmd/polynic-cni", []string{"api/cniwire"}, "the CNI binary knows nothing: it passes a request on"},
		{"cmd/polynic-agent", []string{"internal/agent", "internal/config", "internal/inspect", "internal/release", "internal/usage"}, "a program turns flags into a configuration and runs one package"},
		{"cmd/polynic-relay", []string{"internal/relay", "internal/relay/keeper", "internal/relay/relayapi", "internal/release"}, "a program turns flags into a configuration and runs one package"},
		{"cmd/polynic-etcd", []string{"internal/lab/etcd", "internal/release"}, "a program turns flags into a configuration and runs one package"},
		{
			"cmd/polynic-controller",
			[]string{
				"internal/config", "internal/controller", "internal/kube", "internal/publish/etcdconf", "internal/publish/ligato",
				"internal/publish/store", "internal/release", "internal/usage",
			},
			"a program turns flags into a configuration and runs one package",
		},
		{
			"cmd/polynic",
			[]string{
				"api/...", "internal/lab/...", "internal/etcdcerts", "internal/inspect", "internal/install", "internal/manifest", "internal/explain",
				"internal/preflight", "internal/release", "internal/usage", "internal/vppcli",
			},
			"the command line is a client: what it shows comes from the agent, what it does is done by the lab or for a node before and after the agent",
		},
		{
			"internal/agent",
			[]string{
				"api/...", "internal/attach", "internal/cniserver", "internal/config", "internal/dataplane/...", "internal/desired",
				"internal/deviceplugin/...", "internal/failpoint", "internal/inspect", "internal/inventory", "internal/ipam",
				"internal/journal", "internal/kube", "internal/memifdir", "internal/model",
				"internal/netns", "internal/nl", "internal/openfiles", "internal/plan", "internal/publish/...", "internal/reconcile", "internal/relay/relayapi", "internal/report", "internal/services", "internal/unixsock", "internal/watch",
			},
			"the agent is where the parts meet, but the relay is another process and the lab stands above both",
		},
		{"internal/lab/etcd", []string{"internal/netns"}, "the lab's etcd is a program of its own, and knows no lab"},
		{
			"internal/lab/...",
			[]string{
				"api/...", "internal/config", "internal/inspect", "internal/manifest", "internal/model",
				"internal/netns", "internal/nl", "internal/publish/custom", "internal/publish/ligato", "internal/publish/store",
				"internal/relay/relayapi", "internal/unixsock",
			},
			"the lab stands in for kubelet and cluster: it sees agent and relay as they do, by their sockets",
		},
		{
			"internal/explain",
			[]string{
				"api/...", "internal/attach", "internal/config", "internal/desired", "internal/ipam", "internal/manifest",
				"internal/memifdir", "internal/model", "internal/plan", "internal/publish/custom", "internal/publish/ligato", "internal/watch",
			},
			"explaining asks the pod path's own rules, and touches nothing",
		},
		{"internal/cniserver/recorder", []string{"api/...", "internal/attach", "internal/model"}, "what stands in for the pod path speaks as the pod path does"},
		{"internal/cniserver", []string{"api/cniwire", "internal/attach", "internal/failpoint", "internal/model", "internal/openfiles", "internal/unixsock"}, "a request goes to the pod path and nowhere else"},
		{"internal/deviceplugin", []string{"api/podif", "internal/deviceplugin/...", "internal/memifdir", "internal/model", "internal/unixsock"}, "the device plugin knows kubelet and allocations, and nothing of how a memif is made"},
		{"internal/deviceplugin/allocation", []string{"internal/failpoint", "internal/memifdir", "internal/model"}, "an allocation is a folder, a secret, and a record of both"},
		{"internal/deviceplugin/podresources", []string{"internal/model", "internal/unixsock"}, "it asks kubelet and judges nothing"},
		{"internal/memifdir", []string{"internal/model"}, "a folder that is shared with a container is files and no more"},
		{"internal/watch", []string{"api/podif", "internal/inventory", "internal/kube", "internal/manifest", "internal/model"}, "a source of pods fills the inventory and knows no consequence"},
		{"internal/report", []string{"api/...", "internal/attach", "internal/model", "internal/openfiles"}, "what users are told comes from the pod path's words"},
		{"internal/kube/fake", []string{"test/port"}, "what stands in for the API server speaks HTTP and knows no client of ours"},
		{"internal/kube", nil, "the API server's types stop with those who ask it"},
		{"internal/inspect", []string{"api/podif", "internal/desired", "internal/model", "internal/unixsock"}, "inspection reads nouns and changes nothing"},
		{
			"internal/attach",
			[]string{
				"api/...", "internal/dataplane", "internal/desired", "internal/failpoint", "internal/inventory", "internal/ipam",
				"internal/journal", "internal/memifdir", "internal/model", "internal/netns", "internal/plan", "internal/publish/ligato", "internal/reconcile",
			},
			"the pod path knows the contract of a dataplane, not a driver",
		},
		{
			"internal/controller",
			[]string{"api/v1", "internal/publish", "internal/publish/custom", "internal/publish/ligato", "internal/publish/store"},
			"the controller has others do what objects ask for, and says what became of it",
		},
		{"internal/publish/custom", []string{"api/v1", "internal/publish/ligato"}, "what an object means for etcd is computed of it alone"},
		{"internal/publish/ligato", []string{"api/podif", "internal/model"}, "what an agent in a pod is told is computed from nouns alone"},
		{"internal/publish/etcdconf", []string{"internal/config"}, "how etcd is reached depends on settings, and on nothing that is put there"},
		{"internal/publish/store", []string{"api/podif", "internal/model", "internal/publish/ligato"}, "who owns a key of etcd depends on no pod path, and on no loop"},
		{"internal/publish", []string{"internal/model", "internal/publish/ligato", "internal/publish/store"}, "the publisher writes what it is told to, whoever tells it"},
		{"internal/reconcile", []string{"internal/dataplane", "internal/desired", "internal/model"}, "the reconciler drives any dataplane by its contract"},
		{"internal/services", []string{"internal/dataplane", "internal/desired", "internal/model", "internal/plan"}, "services know the contract of a dataplane and the plan, not where services come from"},
		{"internal/plan", []string{"api/podif", "internal/desired", "internal/model"}, "the plan depends on what is asked for alone"},
		{"internal/inventory", []string{"api/podif", "internal/model"}, "the inventory holds what is asked for and acts on nothing"},
		{"internal/journal", []string{"internal/model"}, "the journal records nouns"},
		{"internal/ipam", nil, "the allocator is pure arithmetic"},
		{"internal/config", []string{"api/podif"}, "the configuration is read by everybody and reads nobody"},
		{"internal/manifest", []string{"api/podif", "api/v1"}, "manifests are read for the agent and for the lab alike"},

		{"internal/dataplane", []string{"internal/desired", "internal/model"}, "the contract speaks in nouns of the plan"},
		{"internal/dataplane/fake", []string{"internal/dataplane", "internal/desired", "internal/model"}, "the fake knows the contract alone"},
		{"internal/dataplane/drivertest", []string{"api/podif", "internal/dataplane", "internal/desired", "internal/model", "internal/plan", "test/..."}, "the suite knows the contract, not a driver"},
		{"internal/dataplane/vpp/vpptest", []string{"internal/model", "internal/netns", "internal/nl", "test/need"}, "what stands in for VPP knows VPP's messages, and no driver of ours"},
		{"internal/dataplane/linux/services", []string{"internal/dataplane", "internal/desired", "internal/model", "internal/netns", "internal/nl"}, "the table of services knows services, and no port"},
		{"internal/dataplane/nodenet", []string{"internal/desired", "internal/netns", "internal/nl"}, "a node's rules, settings and networks know no driver"},
		{"internal/dataplane/vpp/vppapi", []string{"internal/dataplane", "internal/unixsock"}, "the connection to VPP knows messages, and not what they are for"},
		{
			"internal/dataplane/vpp",
			[]string{
				"internal/dataplane", "internal/dataplane/linux", "internal/dataplane/linux/services", "internal/dataplane/nodenet", "internal/dataplane/vpp/vppapi",
				"internal/dataplane/vpp/vppstats", "internal/desired", "internal/failpoint", "internal/model", "internal/netns", "internal/nl",
				"internal/relay/relayapi",
			},
			"ports and services of VPP have a part in the kernel, which is the linux driver's to make",
		},
		{
			"internal/dataplane/linux",
			[]string{
				"internal/dataplane", "internal/dataplane/linux/services", "internal/dataplane/nodenet", "internal/desired", "internal/failpoint",
				"internal/model", "internal/netns", "internal/nl", "internal/relay/relayapi", "memif/...",
			},
			"a driver makes what it is told, and sees the relay by its client",
		},
		{
			"internal/dataplane/...",
			[]string{
				"internal/dataplane", "internal/desired", "internal/failpoint", "internal/model", "internal/netns", "internal/nl",
				"internal/relay/relayapi", "memif/...",
			},
			"a driver makes what it is told, and sees the relay by its client",
		},
		{"internal/relay/relayapi", []string{"internal/model", "internal/netns", "internal/openfiles", "internal/unixsock"}, "the relay's client is small, for the driver needs no more"},
		{"internal/relay/relaytest", []string{"internal/...", "test/..."}, "it serves the relay's tests alone"},
		{"internal/relay/...", []string{"internal/failpoint", "internal/model", "internal/netns", "internal/nl", "internal/unixsock", "memif/..."}, "the relay moves frames and knows no pods"},

		{"internal/desired", []string{"internal/model"}, "the nouns of the plan stand on those of the inventory"},
		{"internal/model", []string{"api/podif"}, "the nouns stand on nothing but the annotation's grammar"},
		{"internal/nl", []string{"internal/model", "internal/netns"}, "netlink needs namespaces and nouns, no more"},
		{"internal/netns", []string{"internal/model"}, "namespaces know their name and no more"},
		{"internal/etcdcerts", nil, "certificates are made of random numbers alone"},
		{"internal/install", []string{"internal/unixsock"}, "installing is files, and programs that are run"},
		{"internal/preflight", []string{"internal/dataplane/nodenet", "internal/install", "internal/model", "internal/netns", "internal/nl", "internal/vppcli"}, "a look at a node knows what an installation needs, and changes nothing"},
		{"internal/vppcli", []string{"internal/unixsock"}, "what VPP tells people is text"},
		{"internal/openfiles", nil, "a limit knows nobody who meets it"},
		{"internal/release", nil, "a version is a word"},
		{"internal/usage", nil, "a command line's errors are about nothing but the command line"},
		{"internal/unixsock", nil, "sockets know no protocol of ours"},
		{"internal/failpoint", nil, "a failpoint is nothing in a product's build"},

		{"api/...", nil, "other tools import it, and must get nothing of our inside with it"},
		{"memif/...", nil, "it is a library of its own"},
		{"examples/...", []string{"memif/..."}, "an example shows what others may import"},
		{"deploy/...", nil, "manifests are made from manifests"},
		{"test/...", []string{"api/...", "internal/...", "memif/..."}, "tests may see everything"},
		{".", nil, "the root holds rules"},
	}
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue // a test may look at its subject with whatever it needs
		}
		l, ok := layerOf(s.folder())
		if !ok {
			t.Errorf("%s: its package has no place in the table of %s; give it one, with a reason", s.path, "imports_test.go")
			continue
		}
		for _, imported := range imports(s) {
			own, ok := strings.CutPrefix(imported, module)
			if !ok || l.allows(own) {
				continue
			}
			t.Errorf("%s imports %s, but %s.\nIt may import of ours: %v. Move the code, or declare an interface here that the upper package fulfils.",
				s.path, own, l.why, l.may)
		}
	}
}

func layerOf(folder string) (layer, bool) {
	for _, l := range layers() {
		if matches(l.path, folder) {
			return l, true
		}
	}
	return layer{}, false
}

func (l layer) allows(imported string) bool {
	for _, pattern := range append(l.may, l.path) {
		if matches(pattern, imported) {
			return true
		}
	}
	return false
}

// matches reports whether the pattern is the path, or is PARENT/... and the
// path is the parent or below it.
func matches(pattern, path string) bool {
	parent, below := strings.CutSuffix(pattern, "/...")
	return path == parent || below && strings.HasPrefix(path, parent+"/")
}

func imports(s source) []string {
	var all []string
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			path = fmt.Sprintf("%s: %v", spec.Path.Value, err)
		}
		all = append(all, path)
	}
	return all
}

// The core can be read, tested and trusted without a machine.
func TestPureCore(t *testing.T) {
	impure := []struct{ pattern, why string }{
		{"os/...", "the core does no I/O"},
		{"io/...", "the core does no I/O"},
		{"net", "addresses are values of net/netip"},
		{"net/http", "the core does no I/O"},
		{"time", "the core has no clock; pass a duration as a number, or a moment as a value"},
		{"syscall", "the core knows no operating system"},
		{"golang.org/x/sys/...", "the core knows no operating system"},
		{"k8s.io/...", "Kubernetes types stop at the edge; convert there"},
		{"sigs.k8s.io/...", "Kubernetes types stop at the edge; convert there"},
		{"github.com/vishvananda/...", "only a driver knows netlink"},
		{"go.fd.io/...", "only a driver knows VPP"},
	}
	core := []string{"internal/model", "internal/desired", "internal/plan", "internal/ipam", "internal/publish/ligato"}
	for _, s := range sources(t) {
		if s.isTest() || !contains(core, s.folder()) || s.path == "internal/model/mac.go" { // net.ParseMAC
			continue
		}
		for _, imported := range imports(s) {
			for _, i := range impure {
				if matches(i.pattern, imported) {
					t.Errorf("%s imports %s, but %s", s.path, imported, i.why)
				}
			}
		}
	}
}

// Some modules are the business of few packages.
func TestModulesStayAtTheirPlace(t *testing.T) {
	for _, rule := range []struct {
		pattern string
		where   []string
		why     string
	}{
		{"k8s.io/...", []string{"api/v1", "internal/watch", "internal/manifest", "internal/explain", "internal/kube/...", "internal/controller", "internal/publish/custom", "internal/lab/...", "internal/report", "internal/deviceplugin/...", "test/harness"}, "Kubernetes types stop at the edge; convert there"},
		{"github.com/vishvananda/netns", []string{"internal/netns", "internal/nl"}, "a thread enters a namespace only through internal/netns"},
		{"github.com/vishvananda/netlink/...", []string{"internal/nl", "internal/dataplane/linux/...", "internal/relay/...", "internal/lab/...", "test/..."}, "only what makes links knows netlink"},
		{"google.golang.org/grpc/...", []string{"internal/deviceplugin/...", "internal/lab/kubelet", "internal/publish/...", "test/harness"}, "kubelet and etcd alone are spoken to by gRPC"},
		{"go.fd.io/...", []string{"internal/dataplane/vpp/..."}, "no message of VPP's leaves its driver"},
		{"github.com/spf13/cobra", []string{"cmd/polynic", "cmd/polynic-agent", "cmd/polynic-controller", "internal/usage"}, "only programs with commands have use for it"},
	} {
		for _, s := range sources(t) {
			for _, imported := range imports(s) {
				if !s.isTest() && matches(rule.pattern, imported) && !contains(rule.where, s.folder()) {
					t.Errorf("%s imports %s, but %s (its place: %v)", s.path, imported, rule.why, rule.where)
				}
			}
		}
	}
}

func contains(patterns []string, path string) bool {
	for _, p := range patterns {
		if matches(p, path) {
			return true
		}
	}
	return false
}
