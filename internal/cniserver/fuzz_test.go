// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/model"
)

// FuzzNetConf: whatever is on stdin, every verb either refuses it with a code
// of its own or has what it needs, and ADD's answer is one of the version asked.
func FuzzNetConf(f *testing.F) {
	f.Fuzz(func(t *testing.T, stdin []byte) {
		request := attach.Request{ID: model.AttachmentID{ContainerID: "c1", IfName: "eth0"}, NetnsPath: "/n"}
		for _, command := range []string{"ADD", "CHECK", "GC", "STATUS"} {
			conf, err := parseNetConf(command, stdin)
			if err != nil {
				wantCode(t, err)
				continue
			}
			prev, err := conf.prevForAdd(request)
			wantCode(t, err)
			if err == nil {
				wantResult(t, request, prev, conf)
			}
			checked, err := conf.prevForCheck(request)
			wantCode(t, err)
			if err == nil && len(checked.Interfaces) == 0 {
				t.Fatalf("CHECK of nothing: %q", stdin)
			}
			_, err = conf.validAttachments()
			wantCode(t, err)
		}
	})
}

func wantCode(t *testing.T, err error) {
	t.Helper()
	if err != nil && attach.CodeOf(err) == cniwire.CodeInternal {
		t.Fatalf("no code: %v", err)
	}
}

func wantResult(t *testing.T, request attach.Request, prev *types100.Result, conf netConf) {
	t.Helper()
	text, err := composeResult(recorder.Sample(request), prev, cniwire.AnswerVersion(conf.CNIVersion))
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ CNIVersion string }
	if err := json.Unmarshal(text, &result); err != nil || result.CNIVersion != cniwire.AnswerVersion(conf.CNIVersion) {
		t.Fatalf("asked in %q it answers %q, %v", conf.CNIVersion, text, err)
	}
}

// FuzzParseArgs: what the CNI library takes is taken, with the same meaning.
func FuzzParseArgs(f *testing.F) {
	f.Fuzz(func(t *testing.T, args string) {
		got, err := parseArgs(args)
		var theirs struct {
			types.CommonArgs
			K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID, K8S_POD_INFRA_CONTAINER_ID types.UnmarshallableString
		}
		if types.LoadArgs(args, &theirs) != nil {
			return // it takes no "=" in a value and no empty pair
		}
		want := model.PodRef{Namespace: string(theirs.K8S_POD_NAMESPACE), Name: string(theirs.K8S_POD_NAME), UID: string(theirs.K8S_POD_UID)}
		switch half := (want.Name == "") != (want.Namespace == ""); {
		case half && err == nil:
			t.Fatalf("%q names half a pod: %+v", args, got)
		case !half && (err != nil || got != want):
			t.Fatalf("%q: %+v, %v, want %+v", args, got, err, want)
		}
	})
}

// FuzzRequest: what is taken has the form that the pod path may rely on.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, containerID, ifName, netns, args string) {
		r := cniwire.Request{ContainerID: containerID, IfName: ifName, Netns: netns, Args: args}
		got, err := parseRequest(r, netConf{Name: "net"})
		wantCode(t, err)
		_, delErr := parseDel(r)
		wantCode(t, delErr)
		if err != nil {
			return
		}
		if delErr != nil {
			t.Fatalf("%+v can be attached but not detached: %v", got, delErr)
		}
		if strings.ContainsAny(got.ID.ContainerID, "/\x00 ") || strings.ContainsAny(got.ID.IfName, "/:\x00 ") || len(got.ID.IfName) > 15 || got.NetnsPath[0] != '/' {
			t.Fatalf("taken: %+v", got)
		}
	})
}
