// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/polynic/polynic/internal/controller"
	"github.com/polynic/polynic/internal/kube"
	"github.com/polynic/polynic/internal/publish/ligato"
	"github.com/polynic/polynic/internal/publish/store"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/harness"
	"github.com/polynic/polynic/test/isolate"
	"github.com/polynic/polynic/test/kubebin"
	"github.com/polynic/polynic/test/need"
)

func TestMain(m *testing.M) { os.Exit(isolate.Main(m)) }

// soon is how long what is asked for may take, on a machine that is busy with
// other things too.
const soon = time.Minute

// bench is an API server with the CRDs and the rights of the manifests, an etcd
// for agents in pods, and a controller.
type bench struct {
	*controlplane.Plane
	t      *testing.T // of the part that is tried; whole is that of all
	whole  *testing.T
	etcd   harness.Program
	server *harness.Process
	client *clientv3.Client
	log    *logbook
	stop   func() error // ends the controller
}

// logbook is what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	need.Root(t)
	b := &bench{Plane: controlplane.Start(t, controlplane.Config{}), t: t, whole: t, log: &logbook{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the controller:\n%s", b.log)
		}
	})
	b.Apply(`{apiVersion: v1, kind: Namespace, metadata: {name: polynic-system}}`)
	for _, file := range []string{"crd/contivpp.io_customconfigurations.yaml", "controller.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "base", file))
		if err != nil {
			t.Fatal(err)
		}
		b.Apply(string(text))
	}
	b.Kubectl("wait", "--for=condition=Established", "crd/customconfigurations.contivpp.io", "--timeout=1m")
	url, peers := "http://"+freeAddress(t), "http://"+freeAddress(t)
	b.etcd = harness.Program{Path: kubebin.Need(t, "etcd"), Log: filepath.Join(b.Dir, "agents-etcd.log"), Args: []string{
		"--name=agents", "--data-dir=" + filepath.Join(b.Dir, "agents"), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls=" + url, "--advertise-client-urls=" + url,
		"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=agents=" + peers,
	}}
	b.server = b.etcd.Start(t)
	var err error
	if b.client, err = store.Dial(clientv3.Config{Endpoints: []string{url}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	return b
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start starts the controller with the rights of its ServiceAccount.
func (b *bench) start() {
	b.t.Helper()
	api, err := kube.Settings(kube.Options{Kubeconfig: b.Kubeconfig("system:serviceaccount:polynic-system:polynic-controller", "system:serviceaccounts")})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- controller.Run(ctx, controller.Config{
			Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			API: api, Namespace: "polynic-system", KeyForm: ligato.FormBoth,
			Etcd: func(context.Context) (*store.Store, func() error, error) {
				return store.New(b.client), func() error { return nil }, nil
			},
		})
	}()
	var once sync.Once
	b.stop = func() error {
		err := fmt.Errorf("stopped before")
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	stop := b.stop
	b.whole.Cleanup(func() { _ = stop() })
}

// keys are what agents find, by key.
func (b *bench) keys() map[string]string {
	b.t.Helper()
	all, err := b.client.Get(b.t.Context(), "/vnf-agent/", clientv3.WithPrefix())
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]string{}
	for _, kv := range all.Kvs {
		found[string(kv.Key)] = string(kv.Value)
	}
	return found
}

// status is a field of an object's status.
func (b *bench) status(name, field string) string {
	b.t.Helper()
	return b.Kubectl("get", "customconfiguration", name, "-o", "jsonpath={.status."+field+"}")
}

// expect waits until the status of an object is this, with all words in its
// message.
func (b *bench) expect(name, status, reason string, words ...string) {
	b.t.Helper()
	controlplane.Eventually(b.t, soon, func() error {
		got := b.Kubectl("get", "customconfiguration", name, "-o",
			`jsonpath={.status.status}/{.status.conditions[?(@.type=="Published")].reason}/{.status.observedGeneration}/{.metadata.generation}: {.status.message}`)
		head, message, _ := strings.Cut(got, ": ")
		parts := strings.Split(head, "/")
		if parts[0] != status || parts[1] != reason || parts[2] != parts[3] {
			return fmt.Errorf("%s is %s, want %s/%s", name, got, status, reason)
		}
		for _, word := range words {
			if !strings.Contains(message, word) {
				return fmt.Errorf("%s says %q, want %q in it", name, message, word)
			}
		}
		return nil
	})
}

// expectKeys waits until agents find this, and nothing else.
func (b *bench) expectKeys(want map[string]string) {
	b.t.Helper()
	controlplane.Eventually(b.t, soon, func() error {
		got := b.keys()
		if len(got) != len(want) {
			return fmt.Errorf("agents find %v, want %v", got, want)
		}
		for key, value := range want {
			if got[key] != value {
				return fmt.Errorf("%s is %q, want %q", key, got[key], value)
			}
		}
		return nil
	})
}
