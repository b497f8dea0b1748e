// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
)

// devices are what kubelet gave to pods, by their names.
type devices struct {
	folders memifdir.Dir
	given   map[string][]model.MemifContainer
	err     error
	asked   int
}

func (d *devices) Containers(_ context.Context, pod model.PodRef) ([]model.MemifContainer, error) {
	d.asked++
	return d.given[pod.Name], d.err
}

// give gives a pod's containers as many devices each, and folders.
func (b *bench) give(pod model.PodRef, numbers ...int) {
	b.t.Helper()
	for n, number := range numbers {
		id := fmt.Sprintf("%s-%d", pod.Name, n)
		if err := b.devices.folders.Make(id); err != nil {
			b.t.Fatal(err)
		}
		b.devices.given[pod.Name] = append(b.devices.given[pod.Name], model.MemifContainer{
			Name: fmt.Sprint("c", n), Folder: b.devices.folders.Path(id),
			MemifAllocation: model.MemifAllocation{ID: id, Devices: make([]string, number), Secret: model.NewSecret("secret-" + id)},
		})
	}
}

// interfacesOf reads what a container's application is told.
func (b *bench) interfacesOf(allocation string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.devices.folders.Path(allocation), memifdir.InterfacesName))
	if err != nil {
		b.t.Fatal(err)
	}
	var file struct {
		Interfaces []struct {
			Name, MAC string
			ID        int
			MTU       int
			Addresses []string
			Gateways  []string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprint(file.Interfaces)
}

func (b *bench) memifOf(r attach.Request, name string) desired.Memif {
	b.t.Helper()
	objects, _ := b.driver.State()
	m, ok := objects[desired.Key{Owner: r.ID, Kind: desired.KindMemif, Name: name}].(desired.Memif)
	if !ok {
		b.t.Fatalf("there is no memif %s among\n%s", name, objects)
	}
	return m
}

// Each container gets its own memifs, and is told of them before ADD answers.
func TestMemifs(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	pod := b.pod("p", "m1/memif, t/tap, m2/memif/stub, m3/memif")
	b.give(pod, 1, 2)
	r := b.request(pod)
	result := b.mustAdd(r)
	want := []string{"eth0 10.1.1.2/32 ", "m1 10.1.1.3/32 /run/vpp/memif.sock", "t 10.1.1.4/32 ", "m2  /run/vpp/memif.sock", "m3 10.1.1.5/32 /run/vpp/memif.sock"}
	for n, i := range result.Interfaces {
		address := ""
		if len(i.Addresses) > 0 {
			address = i.Addresses[0].String()
		}
		if got := fmt.Sprintf("%s %s %s", i.Name, address, i.SocketPath); got != want[n] {
			t.Errorf("interface %d: %q, want %q", n, got, want[n])
		}
	}
	mac := func(name string) string { return model.PodMAC(r.ID.ContainerID, name).String() }
	for id, want := range map[string]string{
		"p-0": "[{m1 " + mac("m1") + " 0 1450 [10.1.1.3/32] [10.1.1.1]}]",
		"p-1": "[{m2 " + mac("m2") + " 1 1450 [] []} {m3 " + mac("m3") + " 2 1450 [10.1.1.5/32] [10.1.1.1]}]",
	} {
		if got := b.interfacesOf(id); got != want {
			t.Errorf("%s is told of %s, want %s", id, got, want)
		}
	}
	m := b.memifOf(r, "m3")
	if m.ID != 2 || m.Folder != b.devices.folders.Path("p-1") || m.Secret.Reveal() != "secret-p-1" || m.Gateways[0].String() != "10.1.1.1" {
		t.Errorf("memif %+v", m)
	}
	if m := result.Interfaces[4].Memif; m == nil || m.ID != 2 || m.Container != "c1" || result.Interfaces[2].Memif != nil {
		t.Errorf("ADD answers memif %+v for m3, want id 2 in c1, and none for a tap", m)
	}
	if err := b.attacher.Check(t.Context(), r, result); err != nil {
		t.Error(err)
	}
	if again := b.mustAdd(r); len(again.Interfaces) != len(result.Interfaces) {
		t.Errorf("the same ADD again answers %v", again)
	}
	if err := b.attacher.Del(t.Context(), r); err != nil {
		t.Error(err)
	}
	b.expectEmpty()
}

// Of pods without memif interfaces kubelet is not asked.
func TestWithoutMemifsNobodyIsAsked(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	b.devices.err = errors.New("asked in vain")
	b.mustAdd(b.request(b.pod("p", "t/tap, v/veth/stub")))
	if b.devices.asked != 0 {
		t.Error("kubelet was asked")
	}
}

// Fewer devices than interfaces are enough, and told of.
func TestFewDevicesAreTold(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	pod := b.pod("p", "m1/memif, m2/memif")
	b.give(pod, 1)
	b.mustAdd(b.request(pod))
	if lines := b.logs.lines("only 1 of contivpp.io/memif"); len(lines) != 1 || !strings.Contains(lines[0], "default/p") {
		t.Errorf("the log says %q", lines)
	}
	if told := b.warned.told; len(told) != 1 || !strings.HasPrefix(told[0], "default/p 2: 2 memif interfaces, and only 1 of") {
		t.Errorf("told %q", told)
	}
}

// What cannot be given is refused with the reason and a code that says whether
// waiting helps, and nothing is left.
func TestMemifsThatCannotBe(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	for _, test := range []struct {
		name  string
		spoil func(model.PodRef)
		code  cniwire.Code
		words []string
	}{
		{"no devices", func(model.PodRef) {}, cniwire.CodeRefused, []string{"resources.limits", "contivpp.io/memif: N"}},
		{"no kubelet", func(model.PodRef) { b.devices.err = errors.New("kubelet sleeps") }, cniwire.CodeTryAgainLater, []string{"kubelet sleeps"}},
		{"unknown", func(model.PodRef) { b.devices.err = model.Refusal("delete it") }, cniwire.CodeRefused, []string{"delete it"}},
		{"no folder", b.loseFolder, cniwire.CodeRefused, []string{"its memif folder is missing", "delete the pod"}},
		{"a full disk", b.fillFolder, cniwire.CodeInternal, []string{"interfaces.json", "no space left"}},
	} {
		pod := b.pod(strings.ReplaceAll(test.name, " ", "-"), "m1/memif")
		b.devices.err = nil
		test.spoil(pod)
		_, err := b.attacher.Add(t.Context(), b.request(pod))
		if attach.CodeOf(err) != test.code || err == nil {
			t.Errorf("%s: %v, code %d, want %d", test.name, err, attach.CodeOf(err), test.code)
			continue
		}
		for _, w := range append(test.words, "pod default/"+pod.Name) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q in it", test.name, err, w)
			}
		}
		b.expectEmpty()
	}
}

func (b *bench) loseFolder(pod model.PodRef) {
	b.give(pod, 1)
	if err := os.RemoveAll(b.devices.given[pod.Name][0].Folder); err != nil {
		b.t.Fatal(err)
	}
}

// fillFolder has room for the folder and nothing in it.
func (b *bench) fillFolder(pod model.PodRef) {
	all := string(b.devices.folders)
	if err := errors.Join(os.MkdirAll(all, 0o700), unix.Mount("full", all, "tmpfs", 0, "nr_inodes=2")); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = unix.Unmount(all, 0) })
	b.give(pod, 1)
}

// What an application is told is written again when the agent starts, and a
// folder that is missing keeps no agent from it.
func TestApplicationsAreToldAgain(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	pod, other := b.pod("p", "m2/memif, m1/memif"), b.pod("q", "m1/memif")
	b.give(pod, 2)
	b.give(other, 1)
	b.mustAdd(b.request(pod))
	b.mustAdd(b.request(other))
	want := b.interfacesOf("p-0")
	known := b.inventory.Attachments()
	if err := errors.Join(os.Remove(filepath.Join(b.devices.folders.Path("p-0"), memifdir.InterfacesName)),
		os.RemoveAll(b.devices.folders.Path("q-0"))); err != nil {
		t.Fatal(err)
	}
	next := prepare(t, "10.1.1.0/24")
	if err := os.Rename(string(b.devices.folders), string(next.devices.folders)); err != nil {
		t.Fatal(err)
	}
	for n := range known {
		for _, i := range known[n].Interfaces {
			if i.Memif != nil {
				i.Memif.Folder = next.devices.folders.Path(i.Memif.Allocation)
			}
		}
	}
	next.run(known)
	if got := next.interfacesOf("p-0"); got != want {
		t.Errorf("it is told of %s, want %s", got, want)
	}
	if lines := next.logs.lines("its memif folder is missing"); len(lines) != 1 || !strings.Contains(lines[0], "default/q") {
		t.Errorf("the log says %q, want pod q named once", lines)
	}
}

// What an application is told is written again where its pod removed or altered it,
// and nowhere else; what cannot be mended is told once.
func TestApplicationsAreKeptTold(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	pod, other := b.pod("p", "m1/memif, m2/memif"), b.pod("q", "m1/memif")
	b.give(pod, 1, 1)
	b.give(other, 1)
	b.mustAdd(b.request(pod))
	b.mustAdd(b.request(other))
	want := b.interfacesOf("p-0")
	path := func(id string) string { return filepath.Join(b.devices.folders.Path(id), memifdir.InterfacesName) }
	untouched, err := os.Stat(path("p-1"))
	if err = errors.Join(err, os.Remove(path("q-0")), os.Mkdir(path("q-0"), 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { b.attacher.KeepTelling(ctx, 10*time.Millisecond) })
	for _, spoil := range []func() error{
		func() error { return os.Remove(path("p-0")) },
		func() error { return os.WriteFile(path("p-0"), bytes.Repeat([]byte{'x'}, 700), 0o600) },
		func() error { return os.Chmod(path("p-0"), 0o600) },
		func() error { return errors.Join(os.Remove(path("p-0")), os.Symlink(path("p-1"), path("p-0"))) },
		func() error { return errors.Join(os.Remove(path("p-0")), unix.Mkfifo(path("p-0"), 0o644)) },
	} {
		written := len(b.logs.lines("removed or altered"))
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		b.eventually(func() error {
			if len(b.logs.lines("removed or altered")) == written {
				return errors.New("it was not written again")
			}
			return nil
		})
		if info, err := os.Lstat(path("p-0")); err != nil || info.Mode() != 0o644 || b.interfacesOf("p-0") != want {
			t.Errorf("it is told of %s, %v, want %s", b.interfacesOf("p-0"), err, want)
		}
	}
	stop()
	keeping.Wait()
	if after, err := os.Stat(path("p-1")); err != nil || !os.SameFile(untouched, after) {
		t.Errorf("what nobody touched was written again (%v)", err)
	}
	if lines := b.logs.lines("cannot tell applications"); len(lines) != 1 || !strings.Contains(lines[0], "default/q") {
		t.Errorf("the log says %q, want pod q named once", lines)
	}
}

// A second sandbox does not get a socket that serves another.
func TestASocketServesOneSandbox(t *testing.T) {
	b := start(t, "10.1.1.0/24")
	first, second := b.pod("p", "m1/memif"), b.pod("q", "m1/memif")
	b.give(first, 1)
	b.devices.given["q"] = b.devices.given["p"]
	r := b.request(first)
	b.mustAdd(r)
	other := b.request(second)
	if _, err := b.attacher.Add(t.Context(), other); attach.CodeOf(err) != cniwire.CodeRefused || !strings.Contains(err.Error(), "of pod default/p") {
		t.Errorf("%v, want it refused, and the other pod named", err)
	}
	if err := b.attacher.Del(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	b.mustAdd(other)
}

// A node that offers no devices says so.
func TestMemifsThatAreNotServed(t *testing.T) {
	memif := podif.Interface{Name: "m1", Type: podif.Memif, Network: podif.DefaultNetwork}
	if err := (attach.Service{}).Served(memif); err == nil || !strings.Contains(err.Error(), "memif.enabled") {
		t.Errorf("%v, want the setting named", err)
	}
	if err := (attach.Service{Memif: true}).Served(memif); err != nil {
		t.Error(err)
	}
}
