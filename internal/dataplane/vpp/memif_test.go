// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package vpp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/netns"
	vppprocess "github.com/polynic/polynic/test/vpp"
)

// application is a VPP in the pod that takes its memif up, as its user would have it.
func (w *wired) application(a model.Attachment) *vppprocess.Process {
	w.t.Helper()
	h, err := netns.OpenExact(a.Netns)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = h.Close() })
	app := vppprocess.Start(w.t, vppprocess.Config{Inside: h})
	m := a.Interfaces[2]
	for _, command := range []string{
		"create memif socket id 1 filename " + filepath.Join(m.Memif.Folder, "memif.sock"),
		fmt.Sprintf("create interface memif id %d socket-id 1 slave secret %s", m.Memif.ID, m.Memif.Secret.Reveal()),
		"set interface state memif1/0 up",
		fmt.Sprintf("set interface ip address memif1/0 %s/32", m.Addresses[0]),
		fmt.Sprintf("set interface ip address memif1/0 %s/128", m.Addresses[1]),
		"ip route add 10.1.1.1/32 via memif1/0", // else it answers no ARP from there
		"ip route add fd10:1:0:1::1/128 via memif1/0",
		"ip route add 0.0.0.0/0 via 10.1.1.1 memif1/0",
		"ip route add ::/0 via fd10:1:0:1::1 memif1/0",
	} {
		if out := app.Do(w.t, command); strings.Contains(out, "error") || strings.Contains(out, "unknown") {
			w.t.Errorf("%s: %s", command, out)
		}
	}
	return app
}

// connected waits until the memif is.
func (w *wired) connected(key desired.Key) bool {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for {
		status, err := w.driver.Memifs(w.t.Context())
		if err == nil && status[key].Application != nil {
			return true
		}
		select {
		case <-tick.C:
		case <-limit:
			return false
		}
	}
}

// An application at a memif reaches pods and is reached, also after VPP was killed.
func TestMemifApplication(t *testing.T) {
	w, p := onVPP(t)
	a := w.add(1)
	w.add(2)
	key := desired.Key{Owner: a.ID, Kind: desired.KindMemif, Name: "memif1"}
	if status, err := w.driver.Memifs(t.Context()); err != nil || status[key].Application != nil {
		t.Errorf("before there is an application: error %v, status %+v", err, status[key])
	}
	folder := a.Interfaces[2].Memif.Folder
	if info, err := os.Stat(filepath.Join(folder, "memif.sock")); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	app := w.application(a)
	hits := w.hits()
	await(t, hits, "there", isBack)
	for _, isKilled := range []bool{false, true} {
		if isKilled {
			p.Kill()
			await(t, hits, "away", isAway)
			p.Start(t)
			await(t, hits, "back", isBack)
			if err := w.repair(); err != nil {
				t.Fatal(err)
			}
		}
		if !w.connected(key) {
			t.Fatal("the application is not connected")
		}
		for _, target := range []string{"10.1.1.1", "fd10:1:0:1::1", "10.1.1.21", "fd10:1:0:1::22"} {
			if out := app.Do(t, "ping "+target+" repeat 10 interval 0.5"); !strings.Contains(out, "bytes from "+target) {
				t.Errorf("from the application, killed %v: %s", isKilled, out)
			}
		}
		for _, line := range []string{"ping -c5 -W3 10.1.1.13", "ping -c5 -W3 fd10:1:0:1::13"} {
			if err := shell(line); err != nil {
				t.Errorf("from the node, killed %v: %v", isKilled, err)
			}
		}
	}
	if t.Failed() {
		t.Log(p.Do(t, "show errors"), p.Do(t, "show memif"), p.Do(t, "show ip neighbors"))
		t.Log(app.Do(t, "show errors"), app.Do(t, "show memif"), app.Do(t, "show ip neighbors"))
	}
}
