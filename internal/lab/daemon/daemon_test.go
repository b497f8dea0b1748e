// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/lab/process"
	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/unixsock"
)

const waits = "containers: [{name: a}]"

func asBefore(*lab.Settings) {}

// Pods that come and go at the same time, from several commands.
func TestManyPodsAtOnce(t *testing.T) {
	b := newBench(t, asBefore)
	const commands, each = 3, 4
	var wg sync.WaitGroup
	for c := range commands {
		wg.Go(func() {
			var pods []*corev1.Pod
			var names, want []string
			for i := range each {
				name := fmt.Sprintf("p%d-%d", c, i)
				names = append(names, name)
				want = append(want, "pod default/"+name+" running")
				pods = append(pods, pod(t, name, "v1/veth, v2/veth/stub", waits))
			}
			heard, err := b.apply(t.Context(), pods...)
			if diff := cmp.Diff(want, heard); diff != "" || err != nil {
				t.Errorf("apply: %v (-want +got):\n%s", err, diff)
			}
			heard, err = b.remove(names...)
			if len(heard) != each || err != nil {
				t.Errorf("delete: %v, %v", heard, err)
			}
			if _, err := b.apply(t.Context(), pods...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	interfaces := b.interfaces(t)
	addresses := map[string]bool{}
	for _, i := range interfaces {
		for _, ip := range i.IPs {
			addresses[ip.String()] = true
		}
	}
	if len(interfaces) != commands*each*3 || len(addresses) != commands*each*2*2 {
		t.Errorf("%d interfaces with %d addresses, want %d with %d", len(interfaces), len(addresses), commands*each*3, commands*each*4)
	}
	for _, p := range b.pods(t) {
		if _, err := b.remove(p.Name); err != nil {
			t.Error(err)
		}
	}
	if left := b.left(t); left != nil || len(b.interfaces(t)) > 0 {
		t.Errorf("left behind: %v %v", left, b.interfaces(t))
	}
}

// A daemon that ends leaves everything running; the next one takes it over,
// also what happened meanwhile.
func TestTheNextDaemonTakesOver(t *testing.T) {
	b := newBench(t, asBefore)
	if _, err := b.apply(t.Context(), pod(t, "stays", "", waits), pod(t, "ends", "", waits)); err != nil {
		t.Fatal(err)
	}
	before := b.pods(t)
	b.leave(t)
	for _, p := range before {
		id, err := process.Of(p.Containers[0].PID)
		if err != nil {
			t.Fatalf("pod %s ended with the daemon: %v", p.Name, err)
		}
		if p.Name == "ends" {
			if err := id.Stop(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}
	}
	b.start(t)
	for _, want := range []string{"pod default/stays goes on", "pod default/ends goes on"} {
		if !slices.Contains(b.told, want) {
			t.Errorf("told %q, want %q among it", b.told, want)
		}
	}
	waitFor(t, "the end of a container that nobody saw", func() bool {
		now := b.pods(t)
		return now[0].Phase == "Failed" && now[0].Containers[0].ExitCode == nil && now[1].Phase == "Running"
	})
	if now := b.pods(t); now[1].Containers[0].PID != before[1].Containers[0].PID {
		t.Errorf("pid %d, want %d as before", now[1].Containers[0].PID, before[1].Containers[0].PID)
	}
	heard, err := b.remove("stays", "ends")
	if diff := cmp.Diff([]string{"pod default/ends deleted", "pod default/stays deleted"}, heard); diff != "" || err != nil {
		t.Errorf("delete: %v (-want +got):\n%s", err, diff)
	}
}

// A pod that a daemon was starting when it was killed is removed by the next.
func TestHalfAPodIsRemoved(t *testing.T) {
	b := newBench(t, asBefore)
	b.leave(t)
	half := &lab.Pod{Manifest: pod(t, "half", "", waits), Step: lab.Starting, Sandbox: strings.Repeat("ab", 32)}
	if err := half.Write(b.dir); err != nil {
		t.Fatal(err)
	}
	if err := netns.Pin(b.dir.Netns(half.NetnsName())); err != nil {
		t.Fatal(err)
	}
	if err := state.Write(filepath.Join(b.dir.Node(lab.NodeName).Manifests(), "default_half.json"), half.Manifest); err != nil {
		t.Fatal(err)
	}
	b.start(t)
	if want := "pod default/half was on its way, and is removed"; !slices.Contains(b.told, want) {
		t.Errorf("told %q, want %q among it", b.told, want)
	}
	if left := b.left(t); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// A container's end is recorded with its code.
func TestEndsAreRecorded(t *testing.T) {
	b := newBench(t, asBefore)
	if _, err := b.apply(t.Context(), pod(t, "p", "", "containers: [{name: a, command: [sh, -c, exit 7]}, {name: b}]")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of container a", func() bool {
		code := b.pods(t)[0].Containers[0].ExitCode
		return code != nil && *code == 7
	})
	if p := b.pods(t)[0]; p.Phase != "Running" {
		t.Errorf("phase %s, want Running as long as b does", p.Phase)
	}
	id, err := process.Of(b.pods(t)[0].Containers[1].PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of container b", func() bool {
		p := b.pods(t)[0]
		code := p.Containers[1].ExitCode
		return p.Phase == "Failed" && code != nil && *code == 137
	})
}

// A command that goes away takes with it what was not yet running, and nothing
// else.
func TestAnApplyGivenUp(t *testing.T) {
	b := newBench(t, asBefore)
	if _, err := b.apply(t.Context(), pod(t, "runs", "", waits)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := b.apply(ctx, pod(t, "slow", "tap1/tap", "initContainers: [{name: i, command: [sleep, '600']}], "+waits))
		result <- err
	}()
	waitFor(t, "the init container", func() bool {
		pods := b.pods(t)
		return len(pods) == 2 && len(pods[1].Containers) == 1
	})
	heard, err := b.remove("slow")
	if want := []string{"pod default/slow not deleted: another command works on it; wait until that is done"}; !errors.Is(err, lab.ErrRefused) ||
		!slices.Equal(heard, want) {
		t.Errorf("delete meanwhile: %q, %v, want %q", heard, err, want)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v, want canceled", err)
	}
	waitFor(t, "the removal of the pod", func() bool { return len(b.pods(t)) == 1 })
	waitFor(t, "the removal of its files", func() bool { return !strings.Contains(strings.Join(b.left(t), " "), "slow") })
	if interfaces := b.interfaces(t); len(interfaces) != 1 || interfaces[0].Pod != "runs" {
		t.Errorf("interfaces %v, want those of the pod that ran", interfaces)
	}
}

// Taking the lab down ends what other commands are at, and the daemon.
func TestDown(t *testing.T) {
	b := newBench(t, asBefore)
	result := make(chan error, 1)
	go func() {
		_, err := b.apply(t.Context(), pod(t, "slow", "", "initContainers: [{name: i, command: [sleep, '600']}], "+waits), pod(t, "quick", "", waits))
		result <- err
	}()
	waitFor(t, "both pods", func() bool {
		pods := b.pods(t)
		return len(pods) == 2 && pods[0].Phase == "Running" && len(pods[1].Containers) == 1
	})
	if err := request(t, b, lab.DownPath, "{}"); err != nil {
		t.Error(err)
	}
	if err := <-b.done; err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	b.stop()
	b.stop = nil
	if err := <-result; err == nil {
		t.Error("an apply cut short succeeded")
	}
	if pods, left := b.pods(t), b.left(t); len(pods) > 0 || left != nil {
		t.Errorf("left behind: %v %v", pods, left)
	}
	if _, err := b.apply(t.Context(), pod(t, "late", "", waits)); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("apply afterwards: %v, want ErrNotRunning", err)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	b := newBench(t, asBefore)
	for _, body := range []string{"", "nonsense", "[1]", `{"pods": 7}`} {
		if err := request(t, b, lab.ApplyPath, body); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%q: %v, want a bad request", body, err)
		}
	}
	if _, err := b.apply(t.Context(), pod(t, "p", "", waits)); err != nil {
		t.Errorf("a request afterwards: %v", err)
	}
}

// request posts a body as it is.
func request(t *testing.T, b *bench, path, body string) error {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return unixsock.Dial(ctx, b.dir.Socket())
		},
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://lab"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = new(bytes.Buffer).ReadFrom(response.Body)
	return err
}

// A node that cannot be is the answer of the start.
func TestAStartThatFails(t *testing.T) {
	b := newBench(t, asBefore)
	b.leave(t)
	var settings lab.Settings
	if err := state.Read(b.dir.Settings(), &settings); err != nil {
		t.Fatal(err)
	}
	settings.IPFamily = "ipv5"
	if err := state.Write(b.dir.Settings(), settings); err != nil {
		t.Fatal(err)
	}
	err := b.tryStart(t)
	if err == nil || !strings.Contains(err.Error(), "ipv5") {
		t.Errorf("start: %v, want one that names the setting", err)
	}
	settings.IPFamily = "dual"
	if err := state.Write(b.dir.Settings(), settings); err != nil {
		t.Fatal(err)
	}
}
