// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

func TestRecordsOfAnyIDs(t *testing.T) {
	r := &records{dir: t.TempDir()} // every run leaves it empty
	rapid.Check(t, func(rt *rapid.T) {
		want := map[string]relayapi.TapPort{}
		for _, id := range rapid.SliceOfN(rapid.StringN(1, 32, 128), 1, 5).Draw(rt, "ids") {
			p := relayapi.TapPort{
				ID: id, Pod: relayapi.Link{Netns: "/run/netns/a", Inode: 1, Name: "tap1"},
				Twin: relayapi.Link{Name: "twin1"}, Queues: 1,
			}
			if p.Validate() != nil {
				continue
			}
			for range 2 { // the second replaces the first
				p.Queues++
				if err := r.put(record{Version: recordVersion, Port: &p}); err != nil {
					rt.Fatal(err)
				}
			}
			want[id] = p
		}
		check := func() {
			ports, broken, err := r.load()
			if err != nil || len(broken) > 0 {
				rt.Fatalf("load: %v, %v", broken, err)
			}
			got := map[string]relayapi.TapPort{}
			for _, p := range ports {
				got[p.id()] = *p.Port
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Errorf("records (-want +got):\n%s", diff)
			}
		}
		check()
		for id := range want {
			if err := r.remove(id); err != nil {
				rt.Fatal(err)
			}
			delete(want, id)
			check()
		}
	})
}

func TestRecordThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	r := &records{dir: filepath.Join(dir, "none")}
	err := r.put(record{Version: recordVersion, Port: &relayapi.TapPort{ID: "c/eth0/tap1"}})
	if err == nil || !strings.Contains(err.Error(), "port c/eth0/tap1: record: ") {
		t.Errorf("error %v, want one that names the port", err)
	}
	if _, _, err := r.load(); err == nil {
		t.Error("a missing folder was read")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"memif":{"id":"m","socket":{"folder":"/f","name":"s","queuePairs":1,"ringSize":8},"mode":"ip","mtu":1500,"linkLocal":"fe80::1","peer":"n"}}`))
	f.Add([]byte(`{"version":1,"port":{"id":"t","pod":{"name":"tap1"},"switch":{"socket":"/t.sock","id":7,"secret":"s","ringSize":8,"mtu":1500},"queues":1}}`))
	f.Add([]byte(`{"version":1,"port":{"id":"a"},"memif":{"id":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		port, err := parseRecord(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(port)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := parseRecord(again); err != nil || !cmp.Equal(port, second, cmpopts.EquateComparable(netip.Addr{})) {
			t.Errorf("%+v was written and read as %+v, %v", port, second, err)
		}
	})
}
