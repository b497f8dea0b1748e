// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniwire_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
)

// FuzzReadRequest: whatever is taken is exactly what would have been sent.
func FuzzReadRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, message []byte) {
		request, err := cniwire.ReadRequest(bytes.NewReader(message))
		if err != nil {
			return
		}
		again, err := cniwire.AppendRequest(nil, request)
		if err != nil || !bytes.HasPrefix(message, again) {
			t.Fatalf("%q was read as %+v, which is %q, %v", message, request, again, err)
		}
	})
}

// FuzzReadReply: the same for the reply.
func FuzzReadReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, message []byte) {
		reply, err := cniwire.ReadReply(bytes.NewReader(message))
		if err != nil {
			return
		}
		again, err := cniwire.AppendReply(nil, reply)
		if err != nil || !bytes.HasPrefix(message, again) {
			t.Fatalf("%q was read as %+v, which is %q, %v", message, reply, again, err)
		}
	})
}

// FuzzParseNetConf: of a valid document it reads what encoding/json does.
func FuzzParseNetConf(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := cniwire.ParseNetConf(doc)
		var members map[string]json.RawMessage
		if json.Unmarshal(doc, &members) != nil || members == nil {
			return // invalid, or no object: it must only not break
		}
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		want := cniwire.NetConf{
			CNIVersion: stringMember(members, "cniVersion", ""),
			Name:       stringMember(members, "name", ""),
			Socket:     stringMember(members, "socket", cniwire.DefaultSocket),
			StateDir:   stringMember(members, "stateDir", cniwire.DefaultStateDir),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-encoding/json +got):\n%s", doc, diff)
		}
	})
}

func stringMember(members map[string]json.RawMessage, key, standard string) string {
	var text string
	if json.Unmarshal(members[key], &text) != nil || text == "" {
		return standard
	}
	return text
}

// FuzzAppendError: any message comes out as encoding/json would carry it.
func FuzzAppendError(f *testing.F) {
	f.Fuzz(func(t *testing.T, version, msg string) {
		var got struct {
			CNIVersion, Msg, Details string
			Code                     cniwire.Code
		}
		text := cniwire.AppendError(nil, version, cniwire.CodeTryAgainLater, msg)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got.Msg != carried(t, msg) || got.Code != cniwire.CodeTryAgainLater || got.CNIVersion != cniwire.AnswerVersion(version) {
			t.Fatalf("%q became %q", msg, text)
		}
	})
}

// FuzzTombstone: any DEL is left under a safe file name and read back.
func FuzzTombstone(f *testing.F) {
	f.Fuzz(func(t *testing.T, containerID, ifName, network string) {
		name := cniwire.TombstoneName(containerID, ifName)
		if filepath.Base(name) != name || name[0] == '.' || len(name) > 120 {
			t.Fatalf("file name %q", name)
		}
		left := cniwire.Tombstone{ContainerID: containerID, IfName: ifName, Network: network}
		content, err := cniwire.AppendTombstone(nil, left)
		if err != nil || containerID == "" || ifName == "" {
			return
		}
		want := cniwire.Tombstone{ContainerID: carried(t, containerID), IfName: carried(t, ifName), Network: carried(t, network)}
		if got, err := cniwire.ParseTombstone(content); err != nil || got != want {
			t.Fatalf("%q was read as %+v, %v", content, got, err)
		}
	})
}

// FuzzParseTombstone: a file that somebody else put there breaks nothing.
func FuzzParseTombstone(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := cniwire.ParseTombstone(content)
		if err == nil && (got.ContainerID == "" || got.IfName == "") {
			t.Fatalf("%q is a tombstone of nothing: %+v", content, got)
		}
	})
}

// carried is what remains of a text after encoding/json carried it.
func carried(t *testing.T, text string) string {
	t.Helper()
	doc, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(doc, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
