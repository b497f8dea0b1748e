// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package linux_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
)

// TestVethOfAnotherIsNotOurs: what has the pod's end's name, and the numbers of
// both ends, is not it while the switch's end leads elsewhere: to another link
// of the pod, or into another namespace.
func TestVethOfAnotherIsNotOurs(t *testing.T) {
	for name, away := range map[string]string{
		"another link":      "ip link set %[1]s down && ip link set %[1]s name old && n=99",
		"another namespace": "ip link set %[1]s netns %[2]s",
	} {
		for _, port := range []string{"eth0", "veth1"} { // in the node's network, and in the stub's
			t.Run(name+", "+port, func(t *testing.T) {
				w := newWired(t)
				ns, third, fourth := w.pod(), w.pod(), w.pod()
				objects := w.objects(1, ns, model.Interface{Name: "tap1", Type: podif.Tap, Queues: 1})
				owner := objects[0].Key().Owner
				w.apply(owner, objects)
				key := desired.Key{Owner: owner, Kind: desired.KindVeth, Name: port}
				if !w.has(objects, key) {
					t.Fatalf("%s is not found as it was made", port)
				}
				w.mustRun(ns, fmt.Sprintf("n=$(ip -o link show %[1]s | cut -d: -f1); p=$(ip -o link show %[1]s | sed 's/.*@if\\([0-9]*\\):.*/\\1/')\n"+
					away+"\nip link add %[1]s index $n type veth peer name x index $p netns %[3]s", port, third.Path, fourth.Path))
				if w.has(objects, key) {
					t.Errorf("another's %s is taken for ours", port)
				}
				if err := w.tryApply(owner, objects); !errors.Is(err, dataplane.ErrTaken) {
					t.Errorf("made again beside another's %s: %v, want ErrTaken", port, err)
				}
			})
		}
	}
}

// has reports whether an object is found among those that are wanted.
func (w *wired) has(wanted []desired.Object, key desired.Key) bool {
	w.t.Helper()
	found, err := w.driver.Observe(w.t.Context(), dataplane.Scope{Want: desired.NewSet(wanted...)})
	if err != nil {
		w.t.Fatal(err)
	}
	return found[key] != nil
}
