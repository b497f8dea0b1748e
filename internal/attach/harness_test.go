// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/ipam"
	"github.com/polynic/polynic/internal/memifdir"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/reconcile"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) {
	if code := isolate.Main(m); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is the pod path over a fake dataplane; namespaces are real.
type bench struct {
	t        *testing.T
	attacher *attach.Attacher
	driver   *fake.Driver
	journal  *memory
	pods     *podSource
	logs     *logs
	warned   warnings
	sandbox  int
	devices  *devices
	etcd     *etcd
	config   attach.Config

	inventory  *inventory.Inventory
	reconciler *reconcile.Reconciler
}

// logs is a log that may be read while it is written.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines are those with a text in them.
func (l *logs) lines(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// warnings are those that were told, with their pods' names.
type warnings struct{ told []string }

func (w *warnings) Warn(pod model.PodRef, kind attach.WarningKind, text string) {
	w.told = append(w.told, fmt.Sprintf("%s %d: %s", pod, kind, text))
}

// memory is a journal that can be full.
type memory struct {
	mu   sync.Mutex
	kept map[model.AttachmentID]model.Attachment
	err  error
}

func (m *memory) Put(a model.Attachment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.kept[a.ID] = a
	}
	return m.err
}

func (m *memory) Delete(id model.AttachmentID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		delete(m.kept, id)
	}
	return m.err
}

func (m *memory) setError(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.kept)
}

// podSource answers live reads.
type podSource struct {
	pods map[string]model.Pod // by name
	err  error
}

func (s *podSource) Get(_ context.Context, ref model.PodRef) (model.Pod, bool, error) {
	pod, ok := s.pods[ref.Name]
	return pod, ok, s.err
}

// has makes the cluster say that a pod has the addresses of a sandbox.
func (s *podSource) has(name string, known *inventory.Inventory, sandbox model.AttachmentID) {
	pod := s.pods[name]
	att, _ := known.Attachment(sandbox)
	pod.Addresses = att.Interfaces[0].Addresses
	s.pods[name] = pod
}

// start runs the pod path with room for the given pod range.
func start(t *testing.T, pods string) *bench {
	t.Helper()
	b := prepare(t, pods)
	b.run(nil)
	return b
}

// run takes up what a former agent left: attachments in its journal, and what
// is in the dataplane beside these.
func (b *bench) run(known []model.Attachment) {
	b.t.Helper()
	found, err := b.driver.Observe(b.t.Context(), dataplane.Scope{Everything: true})
	if err != nil {
		b.t.Fatal(err)
	}
	adopted := b.attacher.Adopt(b.t.Context(), found, known)
	if err := b.attacher.Restore(append(known, adopted...)); err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.reconciler.Run(ctx) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
}

// prepare makes the pod path; nothing runs yet.
func prepare(t *testing.T, pods string) *bench {
	t.Helper()
	need.Root(t)
	b := &bench{
		t: t, driver: fake.New(), journal: &memory{kept: map[model.AttachmentID]model.Attachment{}},
		devices: &devices{folders: memifdir.Dir(filepath.Join(t.TempDir(), "memif")), given: map[string][]model.MemifContainer{}},
		etcd:    &etcd{there: map[model.AttachmentID]attach.Publication{}},
		pods:    &podSource{pods: map[string]model.Pod{}}, inventory: inventory.New(), logs: &logs{},
	}
	addresses, err := ipam.New(netip.MustParsePrefix(pods))
	if err != nil {
		t.Fatal(err)
	}
	b.reconciler = reconcile.New(b.driver, reconcile.Options{
		Log: slog.New(slog.NewTextHandler(b.logs, nil)), RepairInterval: time.Minute,
		Gone: func(owner desired.Owner) { b.attacher.Gone(owner) },
	})
	b.config = attach.Config{
		Log: slog.New(slog.NewTextHandler(b.logs, nil)),
		Node: plan.Node{Default: desired.Network{
			Name: model.DefaultNetwork, Gateways: addresses.Gateways(), Pods: addresses.Ranges(),
			Inside: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		}},
		MainType: podif.Veth, MTU: 1450, TapQueues: 1,
		Inventory: b.inventory, Pods: b.pods, Journal: b.journal, Addresses: addresses, Reconciler: b.reconciler,
		AwayLimit: time.Minute, Warner: &b.warned,
		Memif: attach.MemifConfig{Containers: b.devices, Folders: b.devices.folders}, Publisher: b.etcd,
	}
	b.attacher = attach.New(b.config)
	return b
}

// remake makes the pod path of other parts; nothing runs yet.
func (b *bench) remake(change func(*attach.Config)) {
	change(&b.config)
	b.attacher = attach.New(b.config)
}

// pod makes the source know a pod.
func (b *bench) pod(name, annotation string) model.PodRef {
	request, problems := podif.Parse(annotation)
	ref := model.PodRef{Namespace: "default", Name: name, UID: "uid-" + name}
	b.pods.pods[name] = model.Pod{Ref: ref, Request: request, Problems: problems}
	return ref
}

// request is for a new sandbox of the pod.
func (b *bench) request(pod model.PodRef) attach.Request {
	b.t.Helper()
	b.sandbox++
	path := filepath.Join(b.t.TempDir(), "ns")
	if err := netns.Pin(path); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = netns.Unpin(path) })
	return attach.Request{
		ID:        model.AttachmentID{ContainerID: fmt.Sprintf("c%d", b.sandbox), IfName: "eth0"},
		NetnsPath: path, Network: "polynic", Pod: pod,
	}
}

func (b *bench) mustAdd(r attach.Request) attach.Result {
	b.t.Helper()
	result, err := b.attacher.Add(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// expectEmpty waits until nothing of any sandbox is left.
func (b *bench) expectEmpty() {
	b.t.Helper()
	b.eventually(func() error {
		objects, cut := b.driver.State()
		switch {
		case len(objects) != 2 || cut != 0:
			return fmt.Errorf("%d ports are cut off; the dataplane has\n%s", cut, objects)
		case b.journal.size() != 0:
			return errors.New("the journal has attachments")
		case len(b.inventory.Attachments()) != 0:
			return errors.New("the inventory has attachments")
		}
		return nil
	})
}

// eventually tries until it succeeds.
func (b *bench) eventually(try func() error) {
	b.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			b.t.Fatal(err)
		case <-tick.C:
		}
	}
}
