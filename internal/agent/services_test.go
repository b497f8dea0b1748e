// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/config"
	"github.com/polynic/polynic/internal/dataplane"
	dataplanefake "github.com/polynic/polynic/internal/dataplane/fake"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/inspect"
	"github.com/polynic/polynic/internal/inventory"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/internal/watch"
)

// oneService is a source of a service with two endpoints: pods a and b.
type oneService struct{ podSource }

func (oneService) RunServices(ctx context.Context, sink watch.ServiceSink, o watch.ServiceOptions) error {
	select {
	case <-o.Needed:
	case <-ctx.Done():
		return nil
	}
	ref := model.ServiceRef{Namespace: "shop", Name: "web"}
	s := model.EndpointSlice{Service: ref, Ports: []model.EndpointPort{{Protocol: model.TCP, Port: 8080}}}
	for _, uid := range []string{"a", "mirror"} {
		s.Endpoints = append(s.Endpoints, model.Endpoint{
			Address: netip.AddrFrom4([4]byte{10, 1, 0, uid[0]}), Node: "node1", Ready: true,
			Pod: model.PodRef{Namespace: "shop", Name: uid, UID: uid},
		})
	}
	sink.PutSlice(model.SliceName{Namespace: "shop", Name: "web-1"}, s)
	sink.PutService(model.Service{
		Ref: ref, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []model.ServicePort{{Protocol: model.TCP, Port: 80}},
	})
	sink.Synced()
	<-ctx.Done()
	return nil
}

func servingNode(mode string) (*agent, *dataplanefake.Driver) {
	driver := dataplanefake.New()
	a := &agent{
		Options:   Options{Log: slog.New(slog.DiscardHandler), Config: config.Config{NodeName: "node1"}},
		inventory: inventory.New(), plane: &plane{driver: driver}, source: oneService{},
	}
	a.Config.RepairInterval.Duration = time.Hour
	a.Config.Services.Mode = mode
	a.services = newServing(a)
	return a, driver
}

func attachment(pod model.PodRef, endpoint string) model.Attachment {
	return model.Attachment{
		ID: model.AttachmentID{ContainerID: "c-" + pod.UID, IfName: "eth0"}, Pod: pod,
		Interfaces: []model.Interface{
			{Name: "eth0", Network: model.DefaultNetwork},
			{Name: "tap1", Network: model.DefaultNetwork, Addresses: []netip.Addr{netip.MustParseAddr(endpoint)}, ServiceEndpoint: true},
		},
	}
}

// A service is the node's from the attachment of its first pod that serves at a
// custom interface to the end of its last.
func TestServicesOfAttachments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, driver := servingNode("")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.services.run(ctx) }()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, s := range driver.Services() {
				for _, b := range s.Backends {
					got = append(got, b.Address.String())
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("backends (-want +got):\n%s", diff)
			}
		}
		expect()
		pod := model.PodRef{Namespace: "shop", Name: "a", UID: "a"}
		att := attachment(pod, "10.2.0.1")
		accept := make(chan struct{})
		driver.BeforeServices(func(context.Context) error {
			<-accept
			return nil
		})
		a.inventory.PutAttachment(att)
		expect()
		if shown := a.Services(); len(shown) != 1 || shown[0].State != inspect.ServicePending {
			t.Errorf("shown before the switch has it: %+v", shown)
		}
		close(accept)
		expect("10.2.0.1", "10.1.0.109")

		// The cluster knows a pod of a file by another UID than the runtime.
		static := model.PodRef{Namespace: "shop", Name: "mirror", UID: "hash"}
		a.inventory.PutPod(model.Pod{Ref: static, ObjectUID: "mirror"})
		a.inventory.PutAttachment(attachment(static, "10.2.0.2"))
		expect("10.2.0.1", "10.2.0.2")

		shown := a.Services()
		if len(shown) != 1 || shown[0].State != inspect.ServiceServed || shown[0].Ports[0].Endpoints[0].Interface != "tap1" {
			t.Errorf("shown: %+v", shown)
		}
		drop := make(chan struct{})
		driver.BeforeServices(func(context.Context) error {
			<-drop
			return nil
		})
		att.Leaving = true
		a.inventory.PutAttachment(att)
		a.inventory.DeleteAttachment(model.AttachmentID{ContainerID: "c-hash", IfName: "eth0"})
		expect("10.2.0.1", "10.2.0.2")
		if shown := a.Services(); shown[0].State != inspect.ServicePending || shown[0].Reason == "" {
			t.Errorf("shown while the switch has it still: %+v", shown)
		}
		close(drop)
		expect()
		if shown := a.Services(); shown[0].State != inspect.ServiceLeft || shown[0].Reason == "" {
			t.Errorf("shown: %+v", shown)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Where no services are to be resolved, what another agent made goes.
func TestServicesOff(t *testing.T) {
	a, driver := servingNode(config.ServicesOff)
	left := desired.Service{Key: desired.ServiceKey{Protocol: model.TCP}, Frontends: []desired.Frontend{{Kind: desired.FrontendNode, Port: 30000}}}
	if err := driver.ApplyServices(t.Context(), []desired.Service{left}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.removeServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.services != nil || len(driver.Services()) != 0 || a.Services() != nil {
		t.Errorf("resolved: %v", driver.Services())
	}
	if a.services.watched(driver) != dataplane.Driver(driver) {
		t.Error("services that are off listen to the driver")
	}
}

// However much of a service is refused, its author is told a few lines.
func TestReasonsAreFew(t *testing.T) {
	var all []plan.ServiceRefusal
	for n := range 20_000 {
		all = append(all, plan.ServiceRefusal{What: fmt.Sprint("192.0.2.1:", n, "/TCP"), Reason: "service shop/web has it already; choose another"})
	}
	if got := reasons(all[:3]); len(got) != 3 || got[2] != all[2].String() {
		t.Errorf("of three it says %q", got)
	}
	if got := reasons(all); len(got) > 20 || got[0] != all[0].String() || got[len(got)-1] != "19984 parts more are refused" {
		t.Errorf("of %d it says %q", len(all), got)
	}
}
