// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.fd.io/govpp/api"
	"go.fd.io/govpp/binapi/memclnt"

	"github.com/polynic/polynic/api/podif"
	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp"
	"github.com/polynic/polynic/internal/dataplane/vpp/vppapi"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/internal/desired"
	"github.com/polynic/polynic/internal/model"
	"github.com/polynic/polynic/internal/plan"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/kernelnode"
	"github.com/polynic/polynic/test/need"
	realvpp "github.com/polynic/polynic/test/vpp"
)

// perPod is how many memifs each pod has in P9, pipelined how many messages are on
// their way at once.
const (
	perPod    = 4
	pipelined = 512
)

// vppReplay is P9: a VPP that was killed is filled again, with memifs, which are
// VPP's alone, while the kernel takes its time for links.
func vppReplay(t *testing.T, s *sheet) {
	t.Helper()
	if _, err := exec.LookPath(realVPP()); err != nil {
		s.Skip("P9", err)
	}
	need.VPP(t)
	pods := 250
	if s.existing < 100 {
		pods = s.existing
	}
	count := float64(pods * perPod)
	w := newReplay(t, pods)
	node, messages := w.recorded(t)
	whole := len(messages)
	s.Note("P9 messages: %s", kinds(messages))
	s.Value("P9 messages per interface, which has both families", float64(whole)/count, "", figure.AtMost(8))
	node, messages = careful(node, messages)

	pings, filled := &figure.Arm{Name: "pings"}, &figure.Arm{Name: "replay"}
	bare, single := &figure.Arm{Name: "bare program"}, &figure.Arm{Name: "one at a time"}
	rate := func(a *figure.Arm, n int, begin time.Time) { a.Add(float64(n) / time.Since(begin).Seconds()) }
	for range s.bursts {
		p := realvpp.Start(t, realvpp.Config{})
		rate(pings, len(messages), send(t, p.API, pinged(len(messages)), pipelined))
		rate(filled, whole, w.fill(t, p.API, p.Stats, func() {}))
		s.Note("P9 filled: %.0f messages/s", filled.Values[len(filled.Values)-1])
		for _, arm := range []*figure.Arm{bare, single} {
			p.Kill()
			p.Start(t)
			send(t, p.API, node, pipelined)
			<-time.After(walk)
			atOnce := pipelined
			if arm == single {
				atOnce = 1
			}
			rate(arm, len(messages), send(t, p.API, messages, atOnce))
		}
		p.Kill()
	}
	s.Ratio(fmt.Sprintf("P9 replay of %.0f interfaces vs pipelined pings", count), filled.Median()/pings.Median(), figure.AtLeast(0.6), "messages/s", filled, pings)
	s.Ratio("P9 replay vs one at a time", filled.Median()/single.Median(), figure.AtLeast(3), "messages/s", filled, single)
	s.Ratio("P9 replay vs a bare program that sends the same", filled.Median()/bare.Median(), figure.Goal{}, "messages/s", filled, bare)
}

// realVPP is the program that need.VPP looks for.
func realVPP() string {
	if path := os.Getenv("POLYNIC_VPP"); path != "" {
		return path
	}
	return "vpp"
}

// replay is a node and what is wanted of its VPP.
type replay struct {
	*kernelnode.Node
	want desired.Set
}

func newReplay(t *testing.T, pods int) *replay {
	t.Helper()
	w := &replay{Node: kernelnode.New(t), want: desired.Set{}}
	node := plan.Node{Default: desired.Network{
		Name:     model.DefaultNetwork,
		Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd10:1::1")},
		Pods:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/64")},
		Inside:   []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd10:1::/48")},
		Table:    plan.PodTable,
	}}
	node.Host = plan.NewHostLink([]netip.Prefix{netip.MustParsePrefix("172.30.1.0/24"), netip.MustParsePrefix("fd30:1::/64")}, node.Default.Pods, 1450)
	w.want.Add(node.Objects()...)
	address := node.Default.Gateways
	ns := w.Pod() // memifs ask nothing of it
	for n := range pods {
		a := model.Attachment{
			ID:    model.AttachmentID{ContainerID: fmt.Sprintf("%064x", n), IfName: "eth0"},
			Pod:   model.PodRef{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)},
			Netns: ns, MTU: 1450, Network: "net",
		}
		folder := w.Folder()
		for i := range perPod {
			address = []netip.Addr{address[0].Next(), address[1].Next()}
			a.Interfaces = append(a.Interfaces, model.Interface{
				Name: fmt.Sprintf("memif%d", i), Type: podif.Memif, Queues: 1, Network: model.DefaultNetwork, Addresses: address,
				Memif: &model.Memif{ID: uint32(i), Container: "app", Allocation: "a", Folder: folder, Secret: model.NewSecret("bcdfghjklmnpqrstvwxz")},
			})
		}
		objects, err := node.Attachment(a)
		if err != nil {
			t.Fatal(err)
		}
		w.want.Add(objects...)
	}
	return w
}

// recorded is all that the driver asks of an empty VPP, dumps aside, for the node
// and for the interfaces.
func (w *replay) recorded(t *testing.T) (node, all []api.Message) {
	t.Helper()
	s := vpptest.Start(t, vpptest.Config{Heard: asked(func(m api.Message) { all = append(all, m) })})
	w.fill(t, s.Socket, s.Stats, func() { node, all = all, nil }) // nothing is on its way then
	s.Kill()
	return node, all
}

// asked passes on what changes something.
func asked(take func(api.Message)) func(api.Message) {
	return func(m api.Message) {
		switch name := m.GetMessageName(); {
		case strings.HasSuffix(name, "_dump"), name == "control_ping", name == "show_version", name == "want_interface_events":
		case name == "tap_create_v3": // it asks whether there can be any
		default:
			take(m)
		}
	}
}

// walk is how long VPP may take to walk over its memifs.
const walk = 50 * time.Millisecond

// kinds counts messages by their names, the most frequent first.
func kinds(messages []api.Message) string {
	counts := map[string]int{}
	for _, m := range messages {
		counts[m.GetMessageName()]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", counts[name], name)
	}
	return strings.Join(names, ", ")
}

// careful brings messages into an order that VPP 25.10 survives, whose memif_process
// walks over the memifs when the first is there, every 3 s, and when one is switched
// on; it pauses on its way, and a memif made meanwhile may move them all. So the
// first memif is among the node's messages, and they are switched on last.
func careful(node, all []api.Message) (first, rest []api.Message) {
	rank := func(m api.Message) int {
		switch m.GetMessageName() {
		case "memif_socket_filename_add_del_v2":
			return 0
		case "memif_create_v2":
			return 1
		case "sw_interface_set_flags":
			return 3
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b api.Message) int { return rank(a) - rank(b) })
	made := slices.IndexFunc(all, func(m api.Message) bool { return rank(m) == 1 }) + 1
	return append(node, all[:made]...), all[made:]
}

// fill has the driver fill a VPP, and gives the time when that began for the
// interfaces: made is called when the node's own objects are there.
func (w *replay) fill(t *testing.T, socket, stats string, made func()) (begin time.Time) {
	t.Helper()
	d, work := w.begin(t, socket, stats)
	made()
	begin = time.Now()
	if err := carryOut(t.Context(), d, work); err != nil {
		t.Fatal(err)
	}
	return begin
}

// begin has a driver make the node's own objects in a VPP, and gives what else there is
// to do, by sandboxes.
func (w *replay) begin(t *testing.T, socket, stats string) (*vpp.Driver, []dataplane.Work) {
	t.Helper()
	d, err := vpp.New(vpp.Config{
		Log: slog.New(slog.DiscardHandler), Relay: w.Relay, APISocket: socket, StatsSocket: stats,
		PodNetnsDir: w.Dir, StateFile: filepath.Join(w.Dir, "vpp.json"), RunDir: w.Dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	have, err := d.Observe(t.Context(), dataplane.Scope{Want: w.want})
	if err != nil {
		t.Fatal(err)
	}
	changes := map[desired.Owner][]desired.Change{}
	for _, c := range desired.Diff(have, w.want) {
		changes[c.Key().Owner] = append(changes[c.Key().Owner], c)
	}
	node := changes[desired.Owner{}]
	delete(changes, desired.Owner{})
	if err := carryOut(t.Context(), d, []dataplane.Work{{Changes: node}}); err != nil {
		t.Fatal(err)
	}
	var work []dataplane.Work
	for owner, list := range changes {
		work = append(work, dataplane.Work{Owner: owner, Changes: list})
	}
	slices.SortFunc(work, func(a, b dataplane.Work) int { return strings.Compare(a.Owner.ContainerID, b.Owner.ContainerID) })
	return d, work
}

func carryOut(ctx context.Context, d *vpp.Driver, work []dataplane.Work) error {
	failed := make(chan error, len(work))
	d.Apply(ctx, work, func(_ desired.Owner, err error) { failed <- err })
	close(failed)
	var all []error
	for err := range failed {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// pinged is as many pings.
func pinged(n int) []api.Message {
	all := make([]api.Message, n)
	for i := range all {
		all[i] = &memclnt.ControlPing{}
	}
	return all
}

// send sends messages, so many on their way at once, and gives the time when it
// began.
func send(t *testing.T, socket string, messages []api.Message, atOnce int) (begin time.Time) {
	t.Helper()
	conn := join(t, socket, messages)
	begin = time.Now()
	for part := range slices.Chunk(messages, atOnce) {
		do(t, conn, part)
	}
	return begin
}

// join connects a program that is to send messages.
func join(t *testing.T, socket string, messages []api.Message) *vppapi.Conn {
	t.Helper()
	client := vppapi.NewClient(vppapi.Options{Socket: socket, Messages: slices.Concat(messages, vpptest.Replies(messages))})
	t.Cleanup(func() { _ = client.Close() })
	conn, err := client.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// do sends messages at once, and waits for the replies.
func do(t *testing.T, conn *vppapi.Conn, messages []api.Message) {
	t.Helper()
	var b vppapi.Batch
	for i, reply := range vpptest.Replies(messages) {
		b.Call(messages[i], reply)
	}
	if err := conn.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}
