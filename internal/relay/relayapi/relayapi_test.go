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
