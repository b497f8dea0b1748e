// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/model"
)

func comparePrefixes() []cmp.Option {
	return []cmp.Option{cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()}
}

// remembered is what a runtime with CNI 1.1 remembers of recorder.Sample.
func remembered(request attach.Request) attach.Result {
	result := recorder.Sample(request)
	main := &result.Interfaces[0]
	for i := range result.Interfaces {
		iface := &result.Interfaces[i]
		iface.Type, iface.Network = 0, ""
		if i > 0 {
			main.Routes = append(main.Routes, iface.Routes[:min(len(iface.Routes), 1)]...) // no second default
			iface.Routes = nil
		}
	}
	return result
}

func TestFormIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*cniwire.Request)
		code   cniwire.Code
		says   string
	}{
		"no container id":       {func(r *cniwire.Request) { r.ContainerID = "" }, cniwire.CodeInvalidEnvironment, "CNI_CONTAINERID"},
		"container id":          {func(r *cniwire.Request) { r.ContainerID = "../x" }, cniwire.CodeInvalidEnvironment, `CNI_CONTAINERID "../x"`},
		"no interface":          {func(r *cniwire.Request) { r.IfName = "" }, cniwire.CodeInvalidEnvironment, "CNI_IFNAME"},
		"long interface":        {func(r *cniwire.Request) { r.IfName = "sixteen-bytes-xx" }, cniwire.CodeInvalidEnvironment, "CNI_IFNAME"},
		"interface with slash":  {func(r *cniwire.Request) { r.IfName = "a/b" }, cniwire.CodeInvalidEnvironment, "CNI_IFNAME"},
		"interface not UTF-8":   {func(r *cniwire.Request) { r.IfName = "eth\xff" }, cniwire.CodeInvalidEnvironment, "CNI_IFNAME"},
		"interface with zero":   {func(r *cniwire.Request) { r.IfName = "e\x000" }, cniwire.CodeInvalidEnvironment, "CNI_IFNAME"},
		"no netns":              {func(r *cniwire.Request) { r.Netns = "" }, cniwire.CodeInvalidEnvironment, "CNI_NETNS"},
		"relative netns":        {func(r *cniwire.Request) { r.Netns = "netns/a" }, cniwire.CodeInvalidEnvironment, `CNI_NETNS "netns/a"`},
		"netns with zero":       {func(r *cniwire.Request) { r.Netns = "/a\x00b" }, cniwire.CodeInvalidEnvironment, "CNI_NETNS"},
		"args without value":    {func(r *cniwire.Request) { r.Args = "K8S_POD_NAME" }, cniwire.CodeInvalidEnvironment, "CNI_ARGS"},
		"unknown args":          {func(r *cniwire.Request) { r.Args = "IgnoreUnknown=0;FOO=1" }, cniwire.CodeInvalidEnvironment, `["FOO"]`},
		"bad flag":              {func(r *cniwire.Request) { r.Args = "IgnoreUnknown=maybe" }, cniwire.CodeInvalidEnvironment, "IgnoreUnknown"},
		"pod without namespace": {func(r *cniwire.Request) { r.Args = "K8S_POD_NAME=a" }, cniwire.CodeInvalidEnvironment, "K8S_POD_NAMESPACE"},
		"no JSON":               {func(r *cniwire.Request) { r.Stdin = []byte("{") }, cniwire.CodeDecode, "network configuration"},
		"name of another type":  {func(r *cniwire.Request) { r.Stdin = []byte(`{"name":1}`) }, cniwire.CodeDecode, "name"},
		"unknown version":       {func(r *cniwire.Request) { r.Stdin = []byte(`{"cniVersion":"2.0.0","name":"net"}`) }, cniwire.CodeIncompatibleVersion, "2.0.0"},
		"no name":               {func(r *cniwire.Request) { r.Stdin = []byte(`{"cniVersion":"1.0.0"}`) }, cniwire.CodeInvalidConfig, "name"},
		"name with slash":       {func(r *cniwire.Request) { r.Stdin = []byte(`{"name":"a/b"}`) }, cniwire.CodeInvalidConfig, `name "a/b"`},
		"unknown verb":          {func(r *cniwire.Request) { r.Command = "UPDATE" }, cniwire.CodeInvalidEnvironment, `"UPDATE"`},
		"eth0 is there already": {
			func(r *cniwire.Request) {
				r.Stdin = []byte(`{"cniVersion":"0.4.0","name":"net","prevResult":{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"/n"}]}}`)
			}, cniwire.CodeInvalidConfig, "list polynic-cni first",
		},
		"prevResult of another version": {
			func(r *cniwire.Request) {
				r.Stdin = []byte(`{"cniVersion":"1.0.0","name":"net","prevResult":{"cniVersion":"0.4.0"}}`)
			}, cniwire.CodeDecode, "prevResult",
		},
		"null in prevResult": {
			func(r *cniwire.Request) {
				r.Stdin = []byte(`{"cniVersion":"0.4.0","name":"net","prevResult":{"cniVersion":"0.4.0","interfaces":[null]}}`)
			}, cniwire.CodeDecode, "prevResult",
		},
		"CHECK before 0.4.0": {
			func(r *cniwire.Request) { r.Command, r.Stdin = "CHECK", []byte(`{"cniVersion":"0.3.1","name":"net"}`) },
			cniwire.CodeIncompatibleVersion, "CHECK",
		},
		"CHECK without prevResult": {
			func(r *cniwire.Request) { r.Command = "CHECK" }, cniwire.CodeInvalidConfig, "prevResult",
		},
		"CHECK of another sandbox": {
			func(r *cniwire.Request) {
				r.Command, r.Stdin = "CHECK", []byte(`{"cniVersion":"1.0.0","name":"net","prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}]}}`)
			}, cniwire.CodeInvalidConfig, "no interface eth0 in /run/netns/c1",
		},
		"GC before 1.1.0": {
			func(r *cniwire.Request) { r.Command, r.Stdin = "GC", []byte(`{"cniVersion":"1.0.0","name":"net"}`) },
			cniwire.CodeIncompatibleVersion, "GC",
		},
		"GC without list":    {func(r *cniwire.Request) { r.Command = "GC" }, cniwire.CodeInvalidConfig, "cni.dev/valid-attachments"},
		"GC with other list": {func(r *cniwire.Request) { r.Command, r.Stdin = "GC", gcWith(`7`) }, cniwire.CodeDecode, "cni.dev/valid-attachments"},
	} {
		t.Run(name, func(t *testing.T) {
			verbs := &recorder.Recorder{}
			socket, _ := start(t, cniserver.Config{}, verbs)
			request := addRequest("c1")
			test.change(&request)
			if e := wantError(t, ask(t, socket, request)); e.Code != test.code || !strings.Contains(e.Msg, test.says) {
				t.Errorf("got %+v, want code %d and %q", e, test.code, test.says)
			}
			if calls := verbs.Calls(); len(calls) > 0 {
				t.Errorf("the pod path was called: %+v", calls)
			}
		})
	}
}

func TestAcceptedArgs(t *testing.T) {
	for args, want := range map[string]model.PodRef{
		"": {},
		"K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=d": {Namespace: "a", Name: "b", UID: "d"},
		"IgnoreUnknown=True;MAC=02:00:00:00:00:01;":                                     {},
		"FOO=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;IgnoreUnknown=true":                   {Namespace: "a", Name: "b"},
		"K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_NAME=c":                             {Namespace: "a", Name: "c"},
	} {
		verbs := &recorder.Recorder{}
		socket, _ := start(t, cniserver.Config{}, verbs)
		request := addRequest("c1")
		request.Args = args
		wantOK(t, ask(t, socket, request))
		if got := verbs.Calls()[0].Request.Pod; got != want {
			t.Errorf("%q names %+v, want %+v", args, got, want)
		}
	}
}

// DEL goes on with nothing but the id, and succeeds for what cannot be there.
func TestDelTakesWhatThereIs(t *testing.T) {
	id := model.AttachmentID{ContainerID: "c1", IfName: "eth0"}
	for name, test := range map[string]struct {
		change func(*cniwire.Request)
		want   []attach.Request
	}{
		"usual":             {func(*cniwire.Request) {}, []attach.Request{{ID: id, Network: "net"}}},
		"with netns":        {func(r *cniwire.Request) { r.Netns = "/run/netns/gone" }, []attach.Request{{ID: id, Network: "net", NetnsPath: "/run/netns/gone"}}},
		"strange args":      {func(r *cniwire.Request) { r.Args = "???" }, []attach.Request{{ID: id, Network: "net"}}},
		"no configuration":  {func(r *cniwire.Request) { r.Stdin = nil }, []attach.Request{{ID: id}}},
		"future version":    {func(r *cniwire.Request) { r.Stdin = []byte(`{"cniVersion":"9.0.0","name":"net"}`) }, []attach.Request{{ID: id, Network: "net"}}},
		"broken prevResult": {func(r *cniwire.Request) { r.Stdin = []byte(`{"name":"net","prevResult":7}`) }, []attach.Request{{ID: id, Network: "net"}}},
		"impossible id":     {func(r *cniwire.Request) { r.ContainerID = "../x" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			verbs := &recorder.Recorder{}
			socket, _ := start(t, cniserver.Config{}, verbs)
			request := delRequest("c1")
			test.change(&request)
			reply := ask(t, socket, request)
			wantOK(t, reply)
			if len(reply.Stdout) > 0 {
				t.Errorf("DEL printed %q", reply.Stdout)
			}
			var got []attach.Request
			for _, call := range verbs.Calls() {
				got = append(got, call.Request)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func gcWith(list string) []byte {
	return []byte(`{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":` + list + `}`)
}

// Nothing goes where nobody said what is left.
func TestGCWithNullRemovesNothing(t *testing.T) {
	verbs := &recorder.Recorder{}
	socket, _ := start(t, cniserver.Config{}, verbs)
	wantOK(t, ask(t, socket, cniwire.Request{Command: "GC", Stdin: gcWith(`null`)}))
	if calls := verbs.Calls(); len(calls) > 0 {
		t.Errorf("the pod path was called: %+v", calls)
	}
}

func TestGCLists(t *testing.T) {
	one := []model.AttachmentID{{ContainerID: "c1", IfName: "eth0"}}
	for stdin, want := range map[string][]model.AttachmentID{
		string(gcWith(`[]`)): nil,
		string(gcWith(`[{"containerID":"c1","ifname":"eth0"}]`)):                                           one,
		`{"cniVersion":"1.1.0","name":"net","cni.dev/attachments":[{"containerID":"c1","ifname":"eth0"}]}`: one,
	} {
		verbs := &recorder.Recorder{}
		socket, _ := start(t, cniserver.Config{}, verbs)
		wantOK(t, ask(t, socket, cniwire.Request{Command: "GC", Stdin: []byte(stdin)}))
		if diff := cmp.Diff(want, verbs.Calls()[0].Valid, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stdin, diff)
		}
	}
}
