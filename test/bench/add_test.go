// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"testing"
	"time"

	"github.com/polynic/polynic/test/figure"
)

// gateway answers for every pod of ours.
const gateway = "10.1.64.1"

// delegates is P1: a pod with eth0 and four custom interfaces, against one call
// of the reference plugins per interface; and the rest of P4.
func delegates(t *testing.T, s *sheet) {
	t.Helper()
	r := newReference(t, s, "P1")
	n := startNode(t)
	ours, theirs := n.pool(s.pairs+1), r.pool(s.pairs)
	n.mustAdd(ours[s.pairs]) // reads the program from disk
	polynic, reference := &figure.Arm{Name: "polynic"}, &figure.Arm{Name: "reference"}
	for i := range s.pairs {
		polynic.Took(n.mustAdd(ours[i]))
		reference.Took(r.mustRun("ADD", theirs[i]))
	}
	for i := range s.pairs {
		ns := open(t, ours[i])
		expectAnswers(t, ns, map[string]string{"eth0": gateway, "tap1": gateway, "tap2": gateway, "veth1": gateway, "veth2": gateway})
		r.expectAnswers(theirs[i])
	}
	s.Ratio("P1 ADD vs 5 reference delegates", reference.Median()/polynic.Median(), figure.AtLeast(8), "ms", polynic, reference)

	polynic, reference = &figure.Arm{Name: "polynic"}, &figure.Arm{Name: "reference"}
	gone := &figure.Arm{Name: "all gone"}
	for i := range s.pairs {
		begin := time.Now()
		polynic.Took(n.mustDel(ours[i]))
		n.waitGone(s.pairs - i) // so that the reaping does not disturb the reference
		gone.Took(time.Since(begin))
		reference.Took(r.mustRun("DEL", theirs[i]))
	}
	s.Ratio("P1 DEL vs 5 reference delegates", reference.Median()/polynic.Median(), figure.AtLeast(10), "ms", polynic, reference)
	s.Note("from DEL until nothing of the pod is left (a reap begins after 50 ms): min/med/max ms %s", gone)
}
