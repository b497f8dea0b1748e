// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/polynic/polynic/internal/model"
)

// The vectors of Contiv-VPP v3.4.2: whoever moves a cluster from it keeps every
// MAC address.
func TestMACVectors(t *testing.T) {
	cid := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct{ ifName, pod, far string }{
		{"eth0", "02:fe:7e:fc:57:88", "02:fe:81:03:a8:77"},
		{"tap1", "02:fe:42:27:69:12", "02:fe:bd:d8:96:ed"},
		{"veth1", "02:fe:66:a4:2e:71", "02:fe:99:5b:d1:8e"},
		{"memif1", "02:fe:a3:a9:57:70", "02:fe:5c:56:a8:8f"},
	} {
		if got := model.PodMAC(cid, c.ifName).String(); got != c.pod {
			t.Errorf("pod side of %q: %s, want %s", c.ifName, got, c.pod)
		}
		if got := model.SwitchMAC(cid, c.ifName).String(); got != c.far {
			t.Errorf("switch side of %q: %s, want %s", c.ifName, got, c.far)
		}
	}
}

// Both ends have addresses that an interface takes (not a group's, not a
// vendor's) and that differ.
func TestMACsAreUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cid, name := rapid.String().Draw(t, "container"), rapid.String().Draw(t, "interface")
		pod, far := model.PodMAC(cid, name), model.SwitchMAC(cid, name)
		if pod == far {
			t.Errorf("both ends have %s", pod)
		}
		for _, m := range []model.MAC{pod, far} {
			if m.IsZero() || m[0]&1 != 0 || m[0]&2 == 0 {
				t.Errorf("%s is not a local address of one interface", m)
			}
		}
	})
}

func TestMACText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := model.PodMAC(rapid.String().Draw(t, "container"), "tap1")
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got model.MAC
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s came back as %s, %v", text, got, err)
		}
	})
	for _, text := range []string{`""`, `"02:fe"`, `"02:fe:00:00:00:zz"`, `"02:fe:00:00:00:00:00:01"`, `7`} {
		m := model.MAC{1}
		if err := json.Unmarshal([]byte(text), &m); err == nil || (m != model.MAC{1}) {
			t.Errorf("%s was taken as %s, %v", text, m, err)
		}
	}
}
