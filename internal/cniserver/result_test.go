// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package cniserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/api/cniwire"
	"github.com/polynic/polynic/internal/attach"
	"github.com/polynic/polynic/internal/cniserver"
	"github.com/polynic/polynic/internal/cniserver/recorder"
)

const resultNewest = `{
  "cniVersion": "1.1.0",
  "interfaces": [
    {"mac": "02:fe:00:00:00:01", "mtu": 1450, "name": "eth0", "sandbox": "/run/netns/c1"},
    {"mac": "02:fe:00:00:00:02", "mtu": 1450, "name": "tap1", "sandbox": "/run/netns/c1"},
    {"name": "memif1", "sandbox": "/run/netns/c1", "socketPath": "/run/vpp/memif.sock"}
  ],
  "ips": [
    {"address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 0},
    {"address": "fd00::2/128", "gateway": "fd00::1", "interface": 0},
    {"address": "10.100.1.2/32", "interface": 1}
  ],
  "routes": [
    {"dst": "10.1.1.1/32"},
    {"dst": "0.0.0.0/0", "gw": "10.1.1.1"},
    {"dst": "::/0", "gw": "fd00::1"},
    {"dst": "10.100.0.0/16", "gw": "10.100.1.1"}
  ]
}`

const result040 = `{
  "cniVersion": "0.4.0",
  "interfaces": [
    {"mac": "02:fe:00:00:00:01", "name": "eth0", "sandbox": "/run/netns/c1"},
    {"mac": "02:fe:00:00:00:02", "name": "tap1", "sandbox": "/run/netns/c1"},
    {"name": "memif1", "sandbox": "/run/netns/c1"}
  ],
  "ips": [
    {"version": "4", "address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 0},
    {"version": "6", "address": "fd00::2/128", "gateway": "fd00::1", "interface": 0},
    {"version": "4", "address": "10.100.1.2/32", "interface": 1}
  ],
  "routes": [
    {"dst": "10.1.1.1/32"},
    {"dst": "0.0.0.0/0", "gw": "10.1.1.1"},
    {"dst": "::/0", "gw": "fd00::1"},
    {"dst": "10.100.0.0/16", "gw": "10.100.1.1"}
  ],
  "dns": {}
}`

const result010 = `{
  "cniVersion": "0.1.0",
  "ip4": {
    "ip": "10.1.1.2/32",
    "gateway": "10.1.1.1",
    "routes": [{"dst": "10.1.1.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.1.1.1"}, {"dst": "10.100.0.0/16", "gw": "10.100.1.1"}]
  },
  "ip6": {"ip": "fd00::2/128", "gateway": "fd00::1", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
  "dns": {}
}`

// afterBridge is what an ADD answers that comes after another plugin.
const afterBridge = `{
  "cniVersion": "1.0.0",
  "interfaces": [
    {"mac": "00:00:5e:00:53:01", "name": "br0"},
    {"mac": "00:00:5e:00:53:02", "name": "net1", "sandbox": "/run/netns/c1"},
    {"mac": "02:fe:00:00:00:01", "mtu": 1450, "name": "eth0", "sandbox": "/run/netns/c1"}
  ],
  "ips": [
    {"address": "192.0.2.2/24", "interface": 1},
    {"address": "10.1.1.2/32", "gateway": "10.1.1.1", "interface": 2}
  ],
  "routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.1"}, {"dst": "0.0.0.0/0", "gw": "10.1.1.1"}],
  "dns": {"nameservers": ["192.0.2.53"]}
}`

const bridgeResult = `{
  "cniVersion": "1.0.0",
  "interfaces": [{"name": "br0", "mac": "00:00:5e:00:53:01"}, {"name": "net1", "mac": "00:00:5e:00:53:02", "sandbox": "/run/netns/c1"}],
  "ips": [{"address": "192.0.2.2/24", "interface": 1}],
  "routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.1"}],
  "dns": {"nameservers": ["192.0.2.53"]}
}`

func TestResultInEveryForm(t *testing.T) {
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{})
	for version, want := range map[string]string{"1.1.0": resultNewest, "0.4.0": result040, "0.1.0": result010} {
		t.Run(version, func(t *testing.T) {
			request := addRequest("c1")
			request.Stdin = []byte(`{"cniVersion":"` + version + `","name":"net"}`)
			reply := ask(t, socket, request)
			wantOK(t, reply)
			if diff := cmp.Diff(pretty(t, want), pretty(t, string(reply.Stdout))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A configuration without a version is of 0.1.0.
func TestResultWithoutVersion(t *testing.T) {
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{})
	request := addRequest("c1")
	request.Stdin = []byte(`{"name":"net"}`)
	if diff := cmp.Diff(pretty(t, result010), pretty(t, string(ask(t, socket, request).Stdout))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResultAfterAnotherPlugin(t *testing.T) {
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{OnAdd: func(_ context.Context, r attach.Request) (attach.Result, error) {
		made := recorder.Sample(r)
		made.Interfaces = made.Interfaces[:1]
		made.Interfaces[0].Addresses = made.Interfaces[0].Addresses[:1]
		made.Interfaces[0].Routes = made.Interfaces[0].Routes[1:2]
		return made, nil
	}})
	request := addRequest("c1")
	request.Stdin = []byte(`{"cniVersion":"1.0.0","name":"net","prevResult":` + bridgeResult + `}`)
	reply := ask(t, socket, request)
	wantOK(t, reply)
	if diff := cmp.Diff(pretty(t, afterBridge), pretty(t, string(reply.Stdout))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A version that has to have an address says so when there is none.
func TestResultWithoutAddress(t *testing.T) {
	socket, _ := start(t, cniserver.Config{}, &recorder.Recorder{OnAdd: func(context.Context, attach.Request) (attach.Result, error) {
		return attach.Result{Interfaces: []attach.ResultInterface{{Name: "eth0"}}}, nil
	}})
	request := addRequest("c1")
	request.Stdin = []byte(`{"cniVersion":"0.2.0","name":"net"}`)
	if e := wantError(t, ask(t, socket, request)); e.Code != cniwire.CodeInternal {
		t.Errorf("got %+v", e)
	}
}

// pretty is the document with its keys in order, one to a line.
func pretty(t *testing.T, doc string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(doc), &value); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, sorted, "", "  "); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
