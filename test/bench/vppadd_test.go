// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"go.fd.io/govpp/api"

	"github.com/polynic/polynic/internal/dataplane"
	"github.com/polynic/polynic/internal/dataplane/vpp/vpptest"
	"github.com/polynic/polynic/test/figure"
	"github.com/polynic/polynic/test/need"
	realvpp "github.com/polynic/polynic/test/vpp"
)

// vppAdd is P9b: what the driver takes for a pod with four memifs, and what VPP takes
// for the same messages sent by a bare program, both over a connection that is there.
func vppAdd(t *testing.T, s *sheet) {
	t.Helper()
	if _, err := exec.LookPath(realVPP()); err != nil {
		s.Skip("P9b", err)
	}
	need.VPP(t)
	pods := 40
	if s.existing < 100 {
		pods = 4
	}
	w := newReplay(t, pods+1) // VPP's first memif is not like the others
	messages := w.recordedEach(t)
	added, bare := &figure.Arm{Name: "driver"}, &figure.Arm{Name: "bare program"}
	p := realvpp.Start(t, realvpp.Config{})
	for range s.bursts {
		d, work := w.begin(t, p.API, p.Stats)
		each(added, len(work), func(i int) {
			if err := carryOut(t.Context(), d, work[i:i+1]); err != nil {
				t.Fatal(err)
			}
		})
		p.Kill()
		p.Start(t)
		var all []api.Message
		for _, list := range messages {
			all = append(all, list...)
		}
		conn := join(t, p.API, all)
		do(t, conn, messages[0])
		each(bare, len(work), func(i int) { do(t, conn, messages[i+1]) })
		p.Kill()
		p.Start(t)
	}
	s.Ratio(fmt.Sprintf("P9b a pod with %d memifs vs its %d messages sent by a bare program", perPod, len(messages[1])),
		added.Median()/bare.Median(), figure.AtMost(1.5), "ms", added, bare)
}

// each takes the time of all but the first. VPP walks over its memifs meanwhile.
func each(a *figure.Arm, n int, act func(int)) {
	for i := range n {
		begin := time.Now()
		act(i)
		if i > 0 {
			a.Took(time.Since(begin))
		}
		<-time.After(walk)
	}
}

// recordedEach is what the driver asks of an empty VPP, dumps aside: for the node, and
// for one pod after the other.
func (w *replay) recordedEach(t *testing.T) [][]api.Message {
	t.Helper()
	lists := [][]api.Message{nil}
	s := vpptest.Start(t, vpptest.Config{Heard: asked(func(m api.Message) {
		lists[len(lists)-1] = append(lists[len(lists)-1], m)
	})})
	d, work := w.begin(t, s.Socket, s.Stats)
	for _, one := range work {
		lists = append(lists, nil) // nothing is on its way
		if err := carryOut(t.Context(), d, []dataplane.Work{one}); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	for i, list := range lists[1:] {
		first, rest := careful(nil, list)
		lists[i+1] = append(first, rest...)
	}
	return lists
}
