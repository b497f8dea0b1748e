// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/model"
)

// containerRuntime is the CNI library as container runtimes use it.
type containerRuntime struct {
	*libcni.CNIConfig
	list *libcni.NetworkConfigList
}

// newRuntime lists more plugins around polynic-cni where others says so; %s in
// it is polynic-cni.
func newRuntime(t *testing.T, n node, version, plugins string) containerRuntime {
	t.Helper()
	ours := fmt.Sprintf(`{"type":"polynic-cni","socket":%q,"stateDir":%q}`, n.socket, n.state)
	list, err := libcni.NetworkConfFromBytes(fmt.Appendf(nil, `{"cniVersion":%q,"name":"net","plugins":[`+plugins+`]}`, version, ours))
	if err != nil {
		t.Fatal(err)
	}
	// Without an exec of its own the library makes one in the first call, which
	// is a data race between the first calls.
	exec := &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}
	return containerRuntime{libcni.NewCNIConfigWithCacheDir([]string{binaries, n.state}, t.TempDir(), exec), list}
}

func sandbox(containerID string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: containerID,
		NetNS:       "/run/netns/" + containerID,
		IfName:      "eth0",
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", "default"},
			{"K8S_POD_NAME", "web-1"},
			{"K8S_POD_INFRA_CONTAINER_ID", containerID},
			{"K8S_POD_UID", "u1"},
		},
	}
}

func TestEveryVersionThroughLibcni(t *testing.T) {
	pod := model.PodRef{Namespace: "default", Name: "web-1", UID: "u1"}
	for _, version := range cniwire.SpecVersions() {
		t.Run(version, func(t *testing.T) {
			n, verbs := newNode(t), &recorder.Recorder{}
			n.serve(t, verbs)
			runtime := newRuntime(t, n, version, "%s")
			if _, err := runtime.ValidateNetworkList(t.Context(), runtime.list); err != nil {
				t.Error(err)
			}
			result, err := runtime.AddNetworkList(t.Context(), runtime.list, sandbox("c1"))
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, result, version)
			want := []string{"ADD", "DEL"}
			if !slices.Contains([]string{"0.1.0", "0.2.0", "0.3.0", "0.3.1"}, version) {
				want = []string{"ADD", "CHECK", "DEL"}
				if err := runtime.CheckNetworkList(t.Context(), runtime.list, sandbox("c1")); err != nil {
					t.Error(err)
				}
			}
			if err := runtime.DelNetworkList(t.Context(), runtime.list, sandbox("c1")); err != nil {
				t.Error(err)
			}
			var got []string
			for _, call := range verbs.Calls() {
				got = append(got, call.Verb)
				request := attach.Request{
					ID:        model.AttachmentID{ContainerID: "c1", IfName: "eth0"},
					NetnsPath: "/run/netns/c1",
					Network:   "net",
					Pod:       pod,
				}
				if diff := cmp.Diff(request, call.Request); diff != "" {
					t.Errorf("%s (-want +got):\n%s", call.Verb, diff)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verbs (-want +got):\n%s", diff)
			}
		})
	}
}

func checkResult(t *testing.T, result types.Result, version string) {
	t.Helper()
	if result.Version() != version {
		t.Errorf("asked in %s it answers in %s", version, result.Version())
	}
	newest, err := types100.GetResult(result)
	if err != nil {
		t.Fatal(err)
	}
	if first := newest.IPs[0]; first.Address.String() != "10.1.1.2/32" || first.Gateway.String() != "10.1.1.1" {
		t.Errorf("the first address is %s via %s", &first.Address, first.Gateway)
	}
	if strings.HasPrefix(version, "0.1") || strings.HasPrefix(version, "0.2") {
		return // these list no interfaces
	}
	var names []string
	for _, iface := range newest.Interfaces {
		names = append(names, iface.Name)
		if iface.Sandbox != "/run/netns/c1" {
			t.Errorf("%s is in sandbox %q", iface.Name, iface.Sandbox)
		}
	}
	if diff := cmp.Diff([]string{"eth0", "tap1", "memif1"}, names); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestGCAndStatusThroughLibcni(t *testing.T) {
	n, verbs := newNode(t), &recorder.Recorder{}
	n.serve(t, verbs)
	runtime := newRuntime(t, n, "1.1.0", "%s")
	valid := []types.GCAttachment{{ContainerID: "c2", IfName: "eth0"}}
	if err := runtime.GCNetworkList(t.Context(), runtime.list, &libcni.GCArgs{ValidAttachments: valid}); err != nil {
		t.Error(err)
	}
	for _, none := range [][]types.GCAttachment{nil, {}} { // a list that nobody filled in says nothing
		if err := runtime.GCNetworkList(t.Context(), runtime.list, &libcni.GCArgs{ValidAttachments: none}); err != nil {
			t.Error(err)
		}
	}
	if err := runtime.GetStatusNetworkList(t.Context(), runtime.list); err != nil {
		t.Error(err)
	}
	want := []recorder.Call{
		{Verb: "GC", Network: "net", Valid: []model.AttachmentID{{ContainerID: "c2", IfName: "eth0"}}},
		{Verb: "GC", Network: "net", Valid: []model.AttachmentID{}},
		{Verb: "STATUS"},
	}
	if diff := cmp.Diff(want, verbs.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrorsReachTheRuntime(t *testing.T) {
	n := newNode(t)
	refusal := &attach.Error{Code: cniwire.CodeRefused, Err: errors.New("tap1 in pod default/web-1: no network blue")}
	n.serve(t, &recorder.Recorder{
		OnAdd: func(context.Context, attach.Request) (attach.Result, error) { return attach.Result{}, refusal },
		OnStatus: func(context.Context) error {
			return &attach.Error{Code: cniwire.CodeNotAvailable, Err: errors.New("no dataplane")}
		},
	})
	runtime := newRuntime(t, n, "1.1.0", "%s")
	_, err := runtime.AddNetworkList(t.Context(), runtime.list, sandbox("c1"))
	var e *types.Error
	if !errors.As(err, &e) || e.Code != uint(cniwire.CodeRefused) || e.Error() != refusal.Error() {
		t.Errorf("ADD: %v", err)
	}
	if err = runtime.GetStatusNetworkList(t.Context(), runtime.list); !errors.As(err, &e) || e.Code != uint(cniwire.CodeNotAvailable) {
		t.Errorf("STATUS: %v", err)
	}
}

// What a plugin before us made comes first in our result, and CHECK is told of
// what is in the sandbox alone.
func TestChainThroughLibcni(t *testing.T) {
	n, verbs := newNode(t), &recorder.Recorder{}
	n.serve(t, verbs)
	if err := os.Mkdir(n.state, 0o700); err != nil {
		t.Fatal(err)
	}
	const first = "#!/bin/sh\ncat >/dev/null; echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"first0\"}]}'\n"
	if err := os.WriteFile(filepath.Join(n.state, "first"), []byte(first), 0o700); err != nil {
		t.Fatal(err)
	}
	runtime := newRuntime(t, n, "1.0.0", `{"type":"first"},%s`)
	result, err := runtime.AddNetworkList(t.Context(), runtime.list, sandbox("c1"))
	if err != nil {
		t.Fatal(err)
	}
	newest, err := types100.GetResult(result)
	if err != nil {
		t.Fatal(err)
	}
	if len(newest.Interfaces) != 4 || newest.Interfaces[0].Name != "first0" || newest.Interfaces[1].Name != "eth0" || *newest.IPs[0].Interface != 1 {
		t.Errorf("result is %+v", newest)
	}
	if err := runtime.CheckNetworkList(t.Context(), runtime.list, sandbox("c1")); err != nil {
		t.Error(err)
	}
	calls := verbs.Calls()
	if prev := calls[len(calls)-1].Prev; len(prev.Interfaces) != 3 || prev.Interfaces[0].Name != "eth0" {
		t.Errorf("CHECK got %+v", prev)
	}
}

func TestManyAtOnceThroughLibcni(t *testing.T) {
	n, verbs := newNode(t), &recorder.Recorder{}
	n.serve(t, verbs)
	runtime := newRuntime(t, n, "1.1.0", "%s")
	var group sync.WaitGroup
	const pods, workers = 48, 8
	for worker := range workers {
		group.Go(func() {
			for pod := worker; pod < pods; pod += workers {
				its := sandbox(fmt.Sprint("c", pod))
				if _, err := runtime.AddNetworkList(t.Context(), runtime.list, its); err != nil {
					t.Error(err)
				}
				if err := runtime.DelNetworkList(t.Context(), runtime.list, its); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if calls := len(verbs.Calls()); calls != 2*pods {
		t.Errorf("%d calls for %d pods", calls, pods)
	}
}

// A socket's path may be longer than its address.
func TestLongSocketPath(t *testing.T) {
	n, verbs := newNode(t), &recorder.Recorder{}
	folder := filepath.Join(filepath.Dir(n.socket), strings.Repeat("d", 150))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	n.socket = filepath.Join(folder, "cni.sock")
	n.serve(t, verbs)
	wantOK(t, plugin(t, delEnv, n.conf()))
	if len(verbs.Calls()) != 1 {
		t.Errorf("calls: %+v", verbs.Calls())
	}
}
