// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// stray is what a driver finds of a sandbox that nobody knows, where it does not
// find its namespace.
func stray(owner model.AttachmentID, addresses ...string) desired.Object {
	port := desired.Port{Owner: owner, Network: model.DefaultNetwork, PodName: "default/lost", Pod: desired.PodEnd{Name: "eth0"}}
	for _, address := range addresses {
		port.Pod.Addresses = append(port.Pod.Addresses, netip.MustParsePrefix(address))
	}
	return desired.Veth{Port: port}
}

// record is what a journal holds of a sandbox with eth0 alone.
func record(r attach.Request, addresses ...string) model.Attachment {
	eth0 := model.Interface{Name: "eth0", Type: podif.Veth, Network: model.DefaultNetwork}
	for _, address := range addresses {
		eth0.Addresses = append(eth0.Addresses, netip.MustParseAddr(address))
	}
	return model.Attachment{
		ID: r.ID, Pod: r.Pod, Netns: model.Netns{Path: r.NetnsPath}, MTU: 1450, Interfaces: []model.Interface{eth0},
	}
}

// The addresses of a sandbox that is to go, because its namespace is not found
// or its record is outdated, are given to others once its links are gone, and
// not before. One that another sandbox has stays with that one.
func TestAddressesAreHeldUntilLinksAreGone(t *testing.T) {
	for name, isRecorded := range map[string]bool{"a stray": false, "an outdated record": true} {
		t.Run(name, func(t *testing.T) {
			b := prepare(t, "10.1.1.0/29") // room for 4: .2 to .5
			old, young := b.request(b.pod("old", "")), b.request(b.pod("young", ""))
			var known []model.Attachment
			if isRecorded {
				known = append(known, record(old, "10.1.1.2", "10.1.1.3"))
			}
			b.driver.Put(stray(old.ID, "10.1.1.2/32", "10.1.1.3/32", "192.0.2.1/32"))
			var stuck atomic.Bool
			stuck.Store(true)
			b.driver.Before(func(_ context.Context, c desired.Change) error {
				if stuck.Load() && c.Key().Owner == old.ID {
					return errors.New("stuck")
				}
				return nil
			})
			b.run(append(known, record(young, "10.1.1.3")))

			first := b.mustAdd(b.request(b.pod("first", "veth1/veth")))
			for i, want := range []string{"10.1.1.4/32", "10.1.1.5/32"} {
				if got := first.Interfaces[i].Addresses[0].String(); got != want {
					t.Errorf("%s has %s, want %s", first.Interfaces[i].Name, got, want)
				}
			}
			last := b.request(b.pod("last", ""))
			_, err := b.attacher.Add(t.Context(), last)
			if attach.CodeOf(err) != cniwire.CodeTryAgainLater || !strings.Contains(err.Error(), "all 4 are taken") {
				t.Fatalf("ADD while the links are there: %v, want no address left", err)
			}
			stuck.Store(false)
			var result attach.Result
			b.eventually(func() error {
				result, err = b.attacher.Add(t.Context(), last)
				return err
			})
			if got := result.Interfaces[0].Addresses[0].String(); got != "10.1.1.2/32" {
				t.Errorf("the last pod has %s, want 10.1.1.2/32", got)
			}
		})
	}
}
