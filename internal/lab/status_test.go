// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/polynic/polynic/internal/lab/process"
)

func TestPhase(t *testing.T) {
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	dead := self
	dead.Start++
	runs, ok, failed := Container{Process: self}, Container{Process: dead, ExitCode: new(0)}, Container{Process: dead, ExitCode: new(1)}
	unseen := Container{Process: dead, ExitCode: new(-1)}
	unnoticed := Container{Process: dead}
	for want, pods := range map[string][]Pod{
		"Starting":  {{Step: Starting}, {Step: Starting, Containers: []Container{failed}}},
		"Stopping":  {{Step: Stopping, Containers: []Container{runs}}},
		"Running":   {{Step: Running, Containers: []Container{runs}}, {Step: Running, Containers: []Container{failed, runs}}},
		"Succeeded": {{Step: Running, Containers: []Container{ok, ok}}},
		"Failed": {
			{Step: Running, Containers: []Container{ok, failed}},
			{Step: Running, Containers: []Container{unseen}},
			{Step: Running, Containers: []Container{unnoticed, ok}},
		},
	} {
		for i, p := range pods {
			p.Manifest = &corev1.Pod{}
			if got := p.now("/lab").Phase; got != want {
				t.Errorf("%s %d: %s", want, i, got)
			}
		}
	}
}

func TestAPodNow(t *testing.T) {
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	p := Pod{
		Manifest: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"}},
		Step:     Running, Sandbox: "abc", IPs: []netip.Addr{netip.MustParseAddr("10.1.1.2")},
		Containers: []Container{
			{Name: "i", Init: true, Process: process.ID{PID: 7}, ExitCode: new(0)},
			{Name: "a", Process: self},
			{Name: "b", Process: process.ID{PID: 8}, ExitCode: new(-1)},
		},
	}
	const logs = "/lab/pods/shop_web/containers/"
	want := PodNow{
		Namespace: "shop", Name: "web", UID: "1", Phase: "Running", Sandbox: "abc",
		IPs: []netip.Addr{netip.MustParseAddr("10.1.1.2")},
		Containers: []ContainerNow{
			{Name: "i", Init: true, PID: 7, State: "exited", ExitCode: new(0), Log: logs + "i/log"},
			{Name: "a", PID: self.PID, State: "running", Log: logs + "a/log"},
			{Name: "b", PID: 8, State: "exited", Log: logs + "b/log"},
		},
	}
	if diff := cmp.Diff(want, p.now("/lab"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func TestFind(t *testing.T) {
	p := Pod{
		Manifest:   &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}},
		Containers: []Container{{Name: "setup", Init: true}, {Name: "a"}, {Name: "b"}},
	}
	for name, want := range map[string]string{"": "a", "b": "b", "setup": "setup"} {
		if c, err := p.find(name); err != nil || c.Name != want {
			t.Errorf("find(%q) = %q, %v, want %q", name, c.Name, err, want)
		}
	}
	_, err := p.find("c")
	if want := `pod n/p has no container "c"; it has a, b, setup`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestReadEvents(t *testing.T) {
	const progress, done = `{"kind":"progress","object":"pod n/p","text":"is wired"}`, `{"kind":"done","object":"pod n/p","text":"running"}`
	const failed, finished = `{"kind":"failed","object":"pod n/q","text":"refused: no"}`, `{"kind":"finished"}`
	for name, test := range map[string]struct {
		stream string
		want   error
		heard  []string
	}{
		"all is well": {progress + "\n" + done + "\n" + finished, nil, []string{"pod n/p is wired", "pod n/p running"}},
		"a refusal":   {failed + done + finished, ErrRefused, []string{"pod n/q refused: no", "pod n/p running"}},
		"cut off":     {progress, ErrNotRunning, []string{"pod n/p is wired"}},
		"in a word":   {progress + `{"kind`, ErrNotRunning, []string{"pod n/p is wired"}},
		"empty":       {"", ErrNotRunning, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var heard []string
			err := readEvents(t.Context(), strings.NewReader(test.stream), func(e Event) { heard = append(heard, e.String()) })
			if !errors.Is(err, test.want) || !slices.Equal(heard, test.heard) {
				t.Errorf("heard %q, %v, want %q, %v", heard, err, test.heard, test.want)
			}
		})
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := readEvents(over, strings.NewReader(done), func(Event) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(`{"kind":"done","text":"x"}{"kind":"finished"}`))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		err := readEvents(context.Background(), strings.NewReader(string(stream)), func(Event) {})
		if err == nil && !strings.Contains(string(stream), "inished") {
			t.Errorf("%q counts as finished", stream)
		}
	})
}
