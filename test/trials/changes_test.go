// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package trials

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/polynic/polynic/internal/netns"
	"github.com/polynic/polynic/test/harness"
)

// watchChanges counts the changes in the node's namespace, which is the test's
// own, and in the pods'.
func watchChanges(t *testing.T, pods ...*harness.Pod) *harness.Changes {
	t.Helper()
	own, err := netns.Own()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	var paths []string
	for _, p := range pods {
		paths = append(paths, p.Netns)
	}
	return harness.Watch(t, own, paths...)
}

// TestChangesAreCounted: what is taken for nothing elsewhere is seen where it
// is something, on the node and in a pod.
func TestChangesAreCounted(t *testing.T) {
	n := harness.Start(t, nil)
	pod := n.Sandbox("nobody", "uid-1")
	seen := watchChanges(t, pod)
	for _, where := range []func(string) error{shell, func(command string) error { return pod.Run("sh", "-ec", command) }} {
		if err := where(`ip link add seen0 type veth peer name seen1; ip link set seen0 up; ip addr add 192.0.2.1/24 dev seen0
ip rule add from 192.0.2.1 lookup 99; ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev seen0 nud permanent
nft add table inet seen`); err != nil {
			t.Fatal(err)
		}
	}
	seen.End()
	const newTable = 10<<8 | unix.NFT_MSG_NEWTABLE
	for _, kind := range []uint16{unix.RTM_NEWLINK, unix.RTM_NEWADDR, unix.RTM_NEWROUTE, unix.RTM_NEWRULE, unix.RTM_NEWNEIGH, newTable} {
		if seen.Kinds[kind] < 2 {
			t.Errorf("%d events of type %d, want one of the node and one of the pod", seen.Kinds[kind], kind)
		}
	}
	if err := shell("ip link del seen0; ip rule del from 192.0.2.1 lookup 99; nft delete table inet seen"); err != nil {
		t.Error(err)
	}
}

// TestNoLinkIsMoved: links are born where they belong, also of many pods at once.
func TestNoLinkIsMoved(t *testing.T) {
	n := harness.Start(t, nil)
	baseline := n.MustLook()
	var pods []*harness.Pod
	for range 16 {
		pods = append(pods, n.Pod(mixed))
	}
	seen := watchChanges(t, pods...)
	var running sync.WaitGroup
	for _, p := range pods {
		running.Go(func() {
			if _, err := p.Add(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	seen.End()
	if born := seen.Kinds[unix.RTM_NEWLINK]; seen.Moved != 0 || born < len(pods)*6 {
		t.Errorf("%d links were moved between namespaces; %d events of new ones", seen.Moved, born)
	}
	for _, p := range pods {
		p.MustDel()
	}
	n.ExpectClean(baseline)
}
