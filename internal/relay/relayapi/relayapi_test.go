// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package relayapi_test

import (
	"strings"
	"testing"

	"github.com/polynic/polynic/internal/relay/relayapi"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("n", 16)
	for want, change := range map[string]func(*relayapi.TapPort){
		"":                                     func(*relayapi.TapPort) {},
		`port id "": must be`:                  func(p *relayapi.TapPort) { p.ID = "" },
		"must be 1 to 128 bytes":               func(p *relayapi.TapPort) { p.ID = strings.Repeat("i", 129) },
		`port id "\xff"`:                       func(p *relayapi.TapPort) { p.ID = "\xff" },
		`device name ""`:                       func(p *relayapi.TapPort) { p.Pod.Name = "" },
		`device name ".."`:                     func(p *relayapi.TapPort) { p.Twin.Name = ".." },
		`device name "` + long:                 func(p *relayapi.TapPort) { p.Pod.Name = long },
		`device name "a b"`:                    func(p *relayapi.TapPort) { p.Pod.Name = "a b" },
		`device name "a/b"`:                    func(p *relayapi.TapPort) { p.Pod.Name = "a/b" },
		`device name "tap%d"`:                  func(p *relayapi.TapPort) { p.Pod.Name = "tap%d" },
		`device name "\xff"`:                   func(p *relayapi.TapPort) { p.Pod.Name = "\xff" },
		`network namespace "run/netns/pod"`:    func(p *relayapi.TapPort) { p.Pod.Netns = "run/netns/pod" },
		`network namespace "/run/../netns/p"`:  func(p *relayapi.TapPort) { p.Pod.Netns = "/run/../netns/p" },
		"0 queues: must be 1 to 256":           func(p *relayapi.TapPort) { p.Queues = 0 },
		"257 queues: must be 1 to 256":         func(p *relayapi.TapPort) { p.Queues = 257 },
		"tap1 in /run/netns/pod cannot be its": func(p *relayapi.TapPort) { p.Twin = p.Pod },
	} {
		p := port("id")
		change(&p)
		err := p.Validate()
		if want == "" && err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: error %v, want %q", p, err, want)
		}
	}
}

func TestValidateSwitch(t *testing.T) {
	for want, change := range map[string]func(*relayapi.TapPort){
		"": func(*relayapi.TapPort) {},
		"a twin and a switch: must be one of them":               func(p *relayapi.TapPort) { p.Twin = relayapi.Link{Name: "twin1"} },
		`switch's socket "": must be a clean absolute path`:      func(p *relayapi.TapPort) { p.Switch.Socket = "" },
		`switch's socket "taps.sock": must be a clean absolute`:  func(p *relayapi.TapPort) { p.Switch.Socket = "taps.sock" },
		`switch's socket "/run/../taps.sock": must be a clean`:   func(p *relayapi.TapPort) { p.Switch.Socket = "/run/../taps.sock" },
		"must be a clean absolute path of at most 107 bytes":     func(p *relayapi.TapPort) { p.Switch.Socket = "/" + strings.Repeat("s", 107) },
		"switch's secret has 24 bytes: must be at most 23":       func(p *relayapi.TapPort) { p.Switch.Secret = relayapi.Secret(strings.Repeat("s", 24)) },
		"rings of 100 slots: must be a power of 2 from 2 to 163": func(p *relayapi.TapPort) { p.Switch.RingSize = 100 },
		"MTU 67: must be 68 to 65513":                            func(p *relayapi.TapPort) { p.Switch.MTU = 67 },
		"port id: 0 queues: must be 1 to 256":                    func(p *relayapi.TapPort) { p.Queues = 0 },
	} {
		p := port("id")
		p.Twin = relayapi.Link{}
		p.Switch = relayapi.MemifPeer{Socket: "/run/taps.sock", ID: 7, Secret: "bcdfghjklmnpqrstvwxz", RingSize: 1024, MTU: 1450}
		change(&p)
		err := p.Validate()
		if want == "" && err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: error %v, want %q", p, err, want)
		}
	}
}
