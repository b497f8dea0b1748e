// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/test/harness"
)

// plainService is one with a cluster address and some backends.
func plainService(n, backends int) desired.Service {
	s := desired.Service{
		Key: desired.ServiceKey{
			Service: model.ServiceRef{Namespace: "default", Name: fmt.Sprintf("plain-%d", n)}, Port: "http", Protocol: model.TCP,
		},
		Frontends: []desired.Frontend{{
			Kind: desired.FrontendCluster, Address: netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)}), Port: 80,
		}},
	}
	for i := range backends {
		s.Backends = append(s.Backends, desired.Backend{
			Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Port: 8080, Local: i%2 == 0,
		})
	}
	return s
}

// What others do to the table is reported, each thing that they do; what the driver
// does itself is not, or every change would have everything read back.
func TestOthersChangesOfServicesAreReported(t *testing.T) {
	w := newWired(t)
	var hits atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.driver.Watch(ctx, func(h dataplane.Hit) {
			if h.Services {
				hits.Add(1)
			}
		})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	put := func(list ...desired.Service) {
		t.Helper()
		if err := w.driver.ApplyServices(t.Context(), list, nil); err != nil {
			t.Fatal(err)
		}
	}
	altered := int32(0) // by others
	alter := func(line string) {
		t.Helper()
		altered++
		before := hits.Load()
		shell(t, line)
		if err := harness.Poll(harness.Patience(2*time.Second), func() error {
			if hits.Load() == before {
				return errors.New("not reported: " + line)
			}
			return nil
		}); err != nil && before > 0 {
			t.Error(err)
		}
	}
	put(plainService(1, 2))
	const nothing = "nft 'add set inet polynic-services strange { type mark; }; delete set inet polynic-services strange'"
	for hits.Load() == 0 && altered < 100 { // the watch has begun once it reports something
		alter(nothing)
	}
	for _, damage := range []string{
		"nft delete element inet polynic-services fronts4 '{ 10.96.0.1 . tcp . 80 }'",
		"nft flush chain inet polynic-services any4/default/plain-1/tcp/http",
		"nft add rule inet polynic-services resolve accept",
		"nft add chain inet polynic-services other",
		"nft delete table inet polynic-services",
	} {
		for i := range 5 {
			put(plainService(1, 2+i), plainService(2+i, 3))
		}
		shell(t, "nft add table inet neighbour && nft delete table inet neighbour") // nobody's concern
		alter(damage)
		if _, err := w.driver.ObserveServices(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(plainService(1, 1), plainService(2, 1))
	}
	put(plainService(1, 2)) // the last of many of our own
	alter(nothing)
	if got := hits.Load(); got > altered {
		t.Errorf("%d changes by others, and %d reports", altered, got)
	}
}

// A change writes what changed and no more, whatever there is beside; and where there
// is no service there is no table.
func TestServicesLeaveNothing(t *testing.T) {
	w := newWired(t)
	if err := w.driver.ApplyServices(t.Context(), []desired.Service{plainService(1, 3)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.driver.ApplyServices(t.Context(), nil, []desired.ServiceKey{plainService(1, 0).Key}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil || strings.Contains(string(out), servicesTable) {
		t.Errorf("left with no service: %s %v", out, err)
	}
}
