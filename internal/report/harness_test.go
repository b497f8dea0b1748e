// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/isolate"
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

var errAway = errors.New("connection refused")

// cluster is an API server's pods and Events, as far as a Reporter sees them. It
// takes and refuses what a real one does; test/cluster compares.
type cluster struct {
	mu     sync.Mutex
	pods   map[string]*clusterPod
	events map[string]*corev1.Event
	// away is what every request gets, where it is not nil.
	away error
	// hangs has every request wait for its context.
	hangs bool
	// silent has the next creations succeed without an answer.
	silent int

	requests, underWay, most int
}

type clusterPod struct {
	uid         string
	annotations map[string]string
	patches     int
}

func newCluster() *cluster {
	return &cluster{pods: map[string]*clusterPod{}, events: map[string]*corev1.Event{}}
}

// addPod makes the pod, or another of its name.
func (c *cluster) addPod(ref model.PodRef) *clusterPod {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &clusterPod{uid: ref.UID, annotations: map[string]string{"theirs": "stays"}}
	c.pods[ref.String()] = p
	return p
}

func (c *cluster) begin(ctx context.Context) error {
	c.mu.Lock()
	c.requests++
	c.underWay++
	c.most = max(c.most, c.underWay)
	hangs, away := c.hangs, c.away
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
		away = ctx.Err()
	}
	c.mu.Lock()
	c.underWay--
	return away
}

func (c *cluster) PatchPodStatus(ctx context.Context, namespace, name string, patch []byte) error {
	err := c.begin(ctx)
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	p, ok := c.pods[namespace+"/"+name]
	if !ok {
		return fmt.Errorf("patch pod: %w", apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name))
	}
	var change struct {
		Metadata struct {
			UID         string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if change.Metadata.UID != p.uid {
		return fmt.Errorf("patch pod: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "uid"), change.Metadata.UID, "field is immutable"),
		}))
	}
	maps.Copy(p.annotations, change.Metadata.Annotations)
	p.patches++
	return nil
}

func (c *cluster) CreateEvent(ctx context.Context, e *corev1.Event) (*corev1.Event, error) {
	err := c.begin(ctx)
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if e.Namespace == "leaving" {
		err := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, e.Name, errors.New("the namespace is being terminated"))
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
		return nil, err
	}
	if c.events[e.Name] != nil {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, e.Name)
	}
	c.events[e.Name] = e.DeepCopy()
	if c.silent > 0 {
		c.silent--
		return nil, errAway
	}
	return e, nil
}

func (c *cluster) PatchEvent(ctx context.Context, _, name string, patch []byte) error {
	err := c.begin(ctx)
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	e, ok := c.events[name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "events"}, name)
	}
	return json.Unmarshal(patch, e)
}

func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// told lists the Events, as `kubectl describe` would.
func (c *cluster) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, e := range c.events {
		lines = append(lines, fmt.Sprintf("%s %s x%d %s: %s", e.Type, e.Reason, e.Count, e.InvolvedObject.Name, e.Message))
	}
	return lines
}

// bench is a Reporter that runs, in a bubble with a clock of its own.
type bench struct {
	*Reporter
	t       *testing.T
	cluster *cluster
	known   *pods
	logs    *logs
}

// bubble runs a test of a Reporter in its own time.
func bubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, cluster: newCluster(), known: &pods{}, logs: &logs{}}
		b.Reporter = New(Config{
			Log: slog.New(slog.NewTextHandler(b.logs, nil)), API: b.cluster, Pods: b.known, NodeName: "node-1", NetworkStatus: true,
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		test(b)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pods are what is known of the cluster's.
type pods struct {
	mu     sync.Mutex
	byName map[string]model.Pod
}

func (p *pods) Pod(ref model.PodRef) (model.Pod, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod, ok := p.byName[ref.Name]
	return pod, ok
}

func (p *pods) put(pod model.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil {
		p.byName = map[string]model.Pod{}
	}
	p.byName[pod.Ref.Name] = pod
}

// logs is a log that may be read while it is written.
type logs struct {
	mu   sync.Mutex
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (b *bench) remembered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.jobs)
}

func podRef(n int) model.PodRef {
	return model.PodRef{Namespace: "default", Name: fmt.Sprintf("web-%d", n), UID: fmt.Sprintf("uid-%d", n)}
}

func ask(pod model.PodRef) attach.Request {
	return attach.Request{ID: model.AttachmentID{ContainerID: "c-" + pod.UID, IfName: "eth0"}, Network: "polynic", Pod: pod}
}

func refusal(code cniwire.Code, text string) error {
	return &attach.Error{Code: code, Err: errors.New(text)}
}

// wired is what an ADD answers, with an eth0 of that address.
func wired(address string) attach.Result {
	return attach.Result{Interfaces: []attach.ResultInterface{{
		Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork, MTU: 1450,
		Addresses: []netip.Prefix{netip.MustParsePrefix(address)},
	}}}
}
