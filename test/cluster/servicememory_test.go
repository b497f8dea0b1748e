// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/test/controlplane"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/harness"
)

// serviceMemory is a line of the table in docs/services.md: the memory that an agent is
// given with nft, which runs beside it.
type serviceMemory struct {
	services, endpoints int
	limit               int // MiB
	goLimit             string
}

// TestFiguresOfServices has an agent resolve every service of a cluster within the
// limits of docs/services.md: by a real API server, from nothing, from the table that
// an earlier agent left, and asked for what it has.
func TestFiguresOfServices(t *testing.T) {
	if *figures == "" {
		t.Skip("make bench-cluster measures")
	}
	needPrograms(t)
	lines := []serviceMemory{{1000, 10, 128, "64MiB"}}
	if *figures == "full" {
		lines = append(lines, serviceMemory{10000, 1, 384, "150MiB"}, serviceMemory{10000, 10, 1024, "400MiB"})
	}
	sheet := &figure.Sheet{Out: os.Stdout}
	for _, m := range lines {
		t.Run(fmt.Sprintf("%dx%d", m.services, m.endpoints), func(t *testing.T) { m.measure(t, sheet) })
	}
	sheet.Sum()
}

func (m serviceMemory) measure(t *testing.T, sheet *figure.Sheet) {
	t.Helper()
	plane := controlplane.Start(t, controlplane.Config{})
	m.create(t, plane)
	what := fmt.Sprintf("%d services of %d endpoints", m.services, m.endpoints)
	limit := newMemoryLimit(t, fmt.Sprintf("services-%d-%d", m.services, m.endpoints), m.limit<<20)
	n := harness.NewNode(t, func(c *config.Config) {
		c.PodSource, c.Kubernetes.Kubeconfig = "kubernetes", plane.Kubeconfig("admin", "system:masters")
		c.Services.Mode = config.ServicesAll
	})
	n.LogLevel, n.Env = "info", append(n.Env, "GOMEMLIMIT="+m.goLimit)
	n.StartRelay()
	for _, from := range []string{"nothing", "the table of an earlier agent"} {
		limit.write(t, filepath.Join(string(limit), "memory.max_usage_in_bytes"), 0)
		begin := time.Now()
		limit.within(t, n.StartAgent)
		n.WaitReady()
		m.awaitServed(t, n)
		sheet.Note("%s from %s: served after %s; in the control group at most %.0f of %d MiB, of which the kernel's %.0f", what, from,
			time.Since(begin).Round(100*time.Millisecond), figure.MiB(limit.value(t, "memory.max_usage_in_bytes", "")), m.limit,
			figure.MiB(limit.value(t, "memory.kmem.max_usage_in_bytes", "")))
		n.Agent.Kill()
	}
	sheet.Value("C4 agents, and nft, killed for want of memory with "+what,
		float64(limit.value(t, "memory.oom_control", "oom_kill ")), "", figure.AtMost(0))
}

// create makes the services, and their endpoints, which no controller touches.
func (m serviceMemory) create(t *testing.T, plane *controlplane.Plane) {
	t.Helper()
	const parts = 8 // at once, as a kubectl asks no more than 50 times a second
	var creating sync.WaitGroup
	for part := range parts {
		var manifests strings.Builder
		for i := part; i < m.services; i += parts {
			m.write(&manifests, i)
		}
		cmd := plane.Command("create", "--validate=false", "-f", "-")
		cmd.Stdin = strings.NewReader(manifests.String())
		creating.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out[max(0, len(out)-1000):])
			}
		})
	}
	creating.Wait()
}

// write adds a service, with names as long as they are in clusters.
func (m serviceMemory) write(to *strings.Builder, number int) {
	var endpoints []string
	for i := range m.endpoints {
		pod := number*m.endpoints + i
		endpoints = append(endpoints, fmt.Sprintf(`{addresses: ["10.%d.%d.%d"], nodeName: worker-node-%03d.example.internal, conditions: {ready: true, serving: true, terminating: false},
 targetRef: {kind: Pod, namespace: default, name: checkout-backend-%05d-7d9f8b6c54-%05d, uid: %08x-4f4e-4c2b-9d7a-%012[7]x}}`,
			1+pod>>16, pod>>8&255, pod&255, pod%500, number, i, pod))
	}
	fmt.Fprintf(to, `---
{apiVersion: v1, kind: Service, metadata: {name: checkout-backend-%05[1]d}, spec: {ports: [{name: http-web, port: 80, targetPort: 8080}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: checkout-backend-%05[1]d-x7k2p, labels: {kubernetes.io/service-name: checkout-backend-%05[1]d}},
 addressType: IPv4, ports: [{name: http-web, port: 8080, protocol: TCP}], endpoints: [%[2]s]}
`, number, strings.Join(endpoints, ", "))
}

// awaitServed waits until the agent says that all are served.
func (m serviceMemory) awaitServed(t *testing.T, n *harness.Node) {
	t.Helper()
	err := harness.PollEvery(time.Second, 3*time.Minute, func() error {
		select {
		case <-n.Agent.Ended():
			t.Fatal("the agent ended")
		default:
		}
		list, err := inspect.NewClient(n.Config.InspectSocket()).Services(t.Context())
		served, endpoints := 0, 0
		for _, s := range list {
			if s.State == inspect.ServiceServed {
				served++
			}
			for _, p := range s.Ports {
				endpoints += len(p.Endpoints)
			}
		}
		if err == nil && (served <= m.services || endpoints < m.services*m.endpoints) { // there is the API server's, too
			err = fmt.Errorf("%d services with %d endpoints are served", served, endpoints)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
