// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
	"github.com/polynic/polynic/internal/model"
)

func TestSocketIsForRootAlone(t *testing.T) {
	socket, stop := start(t, cniserver.Config{}, &recorder.Recorder{})
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v, want mode 0600", st, err)
	}
	stop()
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket after the end: %v, want none", err)
	}
}

func TestVerbsGetTheRequest(t *testing.T) {
	verbs := &recorder.Recorder{}
	socket, _ := start(t, cniserver.Config{}, verbs)
	add := addRequest("c1")
	reply := ask(t, socket, add)
	wantOK(t, reply)
	check := add
	check.Command = "CHECK"
	check.Stdin = []byte(`{"cniVersion":"1.1.0","name":"net","prevResult":` + string(reply.Stdout) + `}`)
	wantOK(t, ask(t, socket, check))
	wantOK(t, ask(t, socket, delRequest("c1")))
	wantOK(t, ask(t, socket, cniwire.Request{Command: "GC", Stdin: []byte(
		`{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[{"containerID":"c2","ifname":"eth0"}]}`)}))
	wantOK(t, ask(t, socket, cniwire.Request{Command: "STATUS", Stdin: []byte(conf)}))

	id := model.AttachmentID{ContainerID: "c1", IfName: "eth0"}
	request := attach.Request{
		ID:        id,
		NetnsPath: "/run/netns/c1",
		Network:   "net",
		Pod:       model.PodRef{Namespace: "default", Name: "web-1", UID: "u1"},
	}
	want := []recorder.Call{
		{Verb: "ADD", Request: request},
		{Verb: "CHECK", Request: request, Prev: remembered(request)},
		{Verb: "DEL", Request: attach.Request{ID: id, Network: "net"}},
		{Verb: "GC", Network: "net", Valid: []model.AttachmentID{{ContainerID: "c2", IfName: "eth0"}}},
		{Verb: "STATUS"},
	}
	if diff := cmp.Diff(want, verbs.Calls(), comparePrefixes()...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrorsKeepCodeAndSentence(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want cniError
	}{
		"coded": {&attach.Error{Code: cniwire.CodeRefused, Err: errors.New("tap1: no network blue")}, cniError{"0.4.0", cniwire.CodeRefused, "tap1: no network blue"}},
		"plain": {errors.New("mtu: invalid argument"), cniError{"0.4.0", cniwire.CodeInternal, "mtu: invalid argument"}},
		"no files": {&attach.Error{Code: cniwire.CodeUnknownContainer, Err: fmt.Errorf("sandbox: %w", unix.ENFILE)}, cniError{
			"0.4.0", cniwire.CodeTryAgainLater,
			"sandbox: too many open files in system: the limit of open files is reached: the machine's fs.file-max",
		}},
		"several": {errors.Join(errors.New("a"), errors.New("b")), cniError{"0.4.0", cniwire.CodeInternal, "a; b"}},
	} {
		t.Run(name, func(t *testing.T) {
			socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{OnAdd: func(context.Context, attach.Request) (attach.Result, error) {
				return attach.Result{}, test.err
			}})
			request := addRequest("c1")
			request.Stdin = []byte(`{"cniVersion":"0.4.0","name":"net"}`)
			if diff := cmp.Diff(test.want, wantError(t, ask(t, socket, request))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneLinePerVerb(t *testing.T) {
	var text bytes.Buffer
	socket, stop := start(t, cniserver.Config{Log: slog.New(slog.NewTextHandler(&text, nil))}, &recorder.Recorder{
		OnDel: func(context.Context, attach.Request) error { return errors.New("link eth0: busy") },
	})
	id := strings.Repeat("0123456789abcdef", 4)
	ask(t, socket, addRequest(id))
	ask(t, socket, delRequest(id))
	stop()
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("want one line per verb:\n%s", text.String())
	}
	slices.SortFunc(lines, func(a, b string) int { // they are written after the replies
		return strings.Compare(a[strings.Index(a, "verb="):], b[strings.Index(b, "verb="):])
	})
	for i, parts := range [][]string{
		{"level=INFO", "verb=ADD", "pod=default/web-1", "container=0123456789ab ", "interface=eth0", "duration=", "result=ok"},
		{"level=WARN", "verb=DEL", "container=0123456789ab ", "code=100", `error="link eth0: busy"`, "result=error"},
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("no %s in %s", part, lines[i])
			}
		}
	}
}

func TestOtherProtocolVersionIsAnswered(t *testing.T) {
	verbs := &recorder.Recorder{}
	socket, _ := start(t, cniserver.Config{}, verbs)
	conn := sendRaw(t, socket, "pncq\x7f\xff\x00\x00\x00\x04next")
	if answer, _ := io.ReadAll(conn); !bytes.HasPrefix(answer, []byte("pncr\x00\x01")) {
		t.Errorf("answer %q, want the header of a reply in version 1", answer)
	}
	if calls := verbs.Calls(); len(calls) > 0 {
		t.Errorf("it was taken for %+v", calls)
	}
}

func TestGarbageIsHungUpOn(t *testing.T) {
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{})
	for _, garbage := range []string{"", "GET / HTTP/1.1\r\n\r\n", "pncq\x00\x01\xff\xff\xff\xff"} {
		conn := sendRaw(t, socket, garbage)
		if garbage == "" {
			conn.Close()
		} else if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("%q was answered", garbage)
		}
	}
	wantOK(t, ask(t, socket, addRequest("c1")))
}

func TestRunWaitsForRequestsInFlight(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	socket, stop := start(t, cniserver.Config{}, &recorder.Recorder{OnAdd: func(ctx context.Context, r attach.Request) (attach.Result, error) {
		close(begun)
		<-goOn
		return recorder.Sample(r), ctx.Err()
	}})
	conn := send(t, socket, addRequest("c1"))
	wait(t, "ADD", begun)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	gone := time.NewTicker(time.Millisecond)
	defer gone.Stop()
	for deadline := time.After(patience); ; {
		if _, err := os.Lstat(socket); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-gone.C:
		case <-deadline:
			t.Fatal("the socket is still there after the end was asked for")
		}
	}
	select {
	case <-stopped:
		t.Error("the server ended before its request")
	default:
	}
	close(goOn)
	wantOK(t, receive(t, conn))
	wait(t, "the end of the server", stopped)
}

// CHECK compares memifs too; what other plugins made in other namespaces, or on
// the node, is left out.
func TestCheckRemembersMemifs(t *testing.T) {
	verbs := &recorder.Recorder{}
	socket, _ := start(t, cniserver.Config{}, verbs)
	check := addRequest("c1")
	check.Command = "CHECK"
	check.Stdin = []byte(`{"cniVersion":"1.1.0","name":"net","prevResult":{"cniVersion":"1.1.0","interfaces":[
		{"name":"eth0","sandbox":"/run/netns/c1"},{"name":"memif1","sandbox":"/run/netns/c1","socketPath":"/run/vpp/memif.sock"},{"name":"veth0"},{"name":"net1","sandbox":"/run/netns/other"}]}}`)
	wantOK(t, ask(t, socket, check))
	var names []string
	for _, i := range verbs.Calls()[0].Prev.Interfaces {
		names = append(names, i.Name+" "+i.SocketPath)
	}
	if diff := cmp.Diff([]string{"eth0 ", "memif1 /run/vpp/memif.sock"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
