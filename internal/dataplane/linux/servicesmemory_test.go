// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	table "github.com/polynic/polynic/internal/dataplane/linux/services"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/services"
	"github.com/polynic/polynic/internal/watch"
)

// clusterService is a service, and its endpoints, with names as long as they are in
// clusters. Nothing is shared between them, as where they come from the API server.
func clusterService(n, endpoints int) (*corev1.Service, *discoveryv1.EndpointSlice) {
	name := fmt.Sprintf("checkout-backend-%05d", n)
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: strings.Clone("webshop-production"), Name: name, UID: uid(n)}}
	s.Spec.ClusterIPs = []string{fmt.Sprintf("10.%d.%d.%d", 96+n>>16, n>>8&255, n&255)}
	s.Spec.Ports = []corev1.ServicePort{{Name: strings.Clone("http-web"), Protocol: corev1.ProtocolTCP, Port: 80}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.Namespace, Name: name + "-x7k2p", Labels: map[string]string{discoveryv1.LabelServiceName: strings.Clone(name)},
	}}
	slice.Ports = []discoveryv1.EndpointPort{{Name: new(strings.Clone("http-web")), Protocol: new(corev1.ProtocolTCP), Port: new(int32(8080))}}
	for i := range endpoints {
		pod := n*endpoints + i
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", 1+pod>>16, pod>>8&255, pod&255)},
			NodeName:   new(fmt.Sprintf("worker-node-%03d.example.internal", pod%500)),
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: s.Namespace, Name: fmt.Sprintf("%s-7d9f8b6c54-%05d", name, i), UID: uid(pod),
			},
		})
	}
	return s, slice
}

func uid(n int) types.UID {
	return types.UID(fmt.Sprintf("%08x-4f4e-4c2b-9d7a-%012x", n, n))
}

// BenchmarkServiceMemory is what services cost an agent, and nft, which runs in the
// agent's container. It asserts nothing; docs/services.md has the figures.
func BenchmarkServiceMemory(b *testing.B) {
	for _, c := range []struct{ services, endpoints int }{{1000, 10}, {10000, 1}, {10000, 10}} {
		b.Run(fmt.Sprintf("%dx%d", c.services, c.endpoints), func(b *testing.B) {
			for b.Loop() {
				serviceMemory(b, c.services, c.endpoints)
			}
		})
	}
}

func serviceMemory(b *testing.B, count, endpoints int) {
	b.Helper()
	made, err := table.New()
	if err != nil {
		b.Fatal(err)
	}
	driver := applying{made, make(chan error, 1)}
	before := heap()
	r := services.New(services.Config{
		Log: slog.New(slog.DiscardHandler), Driver: driver, RepairInterval: time.Hour,
		Node: plan.Services{Node: "worker-node-001.example.internal", All: true},
	})
	for n := range count {
		s, slice := clusterService(n, endpoints)
		r.PutSlice(model.SliceName{Namespace: slice.Namespace, Name: slice.Name}, watch.ModelSlice(slice))
		r.PutService(watch.ModelService(s))
	}
	report := func(what string, bytes uint64) { b.ReportMetric(float64(bytes)/1e6, what+"-MB") }
	report("known", heap()-before)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	peak := heapPeak()
	r.Synced()
	if err := <-driver.applied; err != nil {
		b.Fatal(err)
	}
	report("peak-applying", peak()-before)
	report("applied", heap()-before)
	peak = heapPeak()
	if _, err := made.ObserveServices(ctx); err != nil {
		b.Fatal(err)
	}
	report("peak-reading", peak()-before)
	report("nft", nftPeak(b))
	stop()
	if err := errors.Join(<-ended, made.RemoveServices(b.Context())); err != nil {
		b.Fatal(err)
	}
}

// applying tells that services were applied.
type applying struct {
	*table.Table
	applied chan error
}

func (a applying) ApplyServices(ctx context.Context, put []desired.Service, gone []desired.ServiceKey) error {
	err := a.Table.ApplyServices(ctx, put, gone)
	a.applied <- err
	return err
}

// heap is what is in use, in bytes.
func heap() uint64 {
	runtime.GC()
	return heapNow()
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// heapPeak looks how much the heap grows until the function that it gives is called.
func heapPeak() func() uint64 {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		peak := heapNow()
		for {
			select {
			case <-look.C:
				peak = max(peak, heapNow())
			case <-stop:
				most <- max(peak, heapNow())
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-most
	}
}

// nftPeak is the most that a program had which was run so far, in bytes; so what needs
// less comes first.
func nftPeak(b *testing.B) uint64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return uint64(u.Maxrss) * 1024
}
