// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/publish/store"
)

// Where a record was made unreadable, what its owner claimed goes with the owner: all
// that is as it was claimed, and nobody else's. The record stays, and is named.
func TestDropWhereTheRecordIsBroken(t *testing.T) {
	for name, owner := range map[string]store.Owner{"pod": pod("a", "n1"), "custom": custom("a")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var items []string
			for n := range 200 { // more than etcd takes at once
				items = append(items, fmt.Sprint(n, "=", canary))
			}
			c := claim(owner, "vnf1", items...)
			w.put(t, claim(custom("other"), "vnf1", "199="+canary, "other=1"), nil)
			if owner.Kind == store.Custom {
				c.Items = c.Items[:199]
			}
			w.put(t, c, nil)
			w.write(t, c.Items[3].Key, "altered")
			w.write(t, below("vnf1", "more")[0], "1")
			record := "/polynic/v1/published/vnf1/pod"
			if owner.Kind == store.Custom {
				record = "/polynic/v1/published/vnf1/custom/default/a"
			}
			w.write(t, record, "{")
			err := w.store.Drop(t.Context(), "vnf1", owner, c.Items...)
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), record) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want it to name %s", err, record)
			}
			want := values(claim(owner, "vnf1", "3=altered", "more=1", "199="+canary, "other=1"))
			if diff := cmp.Diff(want, w.config(t, "vnf1")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			all, _, err := w.store.Owned(t.Context(), store.Custom, "")
			if err != nil || len(all) != 2 {
				t.Fatalf("records are %v, %v", all, err)
			}
			for _, h := range all {
				if isOther := h.Owner.Name == "other"; isOther != (h.Broken == nil) || h.Broken != nil && !strings.Contains(h.Broken.Error(), record) {
					t.Errorf("a record is listed as %+v", h)
				}
			}
		})
	}
}

// A record that nobody can read is somebody's.
func TestRecordThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/polynic/v1/published/vnf1/pod", "{")
	w.write(t, "/polynic/v1/published/vnf1/later", "{}")
	_, err := w.store.Put(t.Context(), claim(pod("a", "n1"), "vnf1", "memif0=1"), gone)
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "/polynic/v1/published/vnf1/pod") {
		t.Errorf("got %v", err)
	}
	w.put(t, claim(custom("c"), "vnf1", "acl=1"), nil)
	if err := w.store.Drop(t.Context(), "vnf1", pod("a", "n1")); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("that nothing can be removed is said as %v", err)
	}
	all, _, err := w.store.Owned(t.Context(), store.Custom, "")
	readable := slices.DeleteFunc(slices.Clone(all), func(h store.Holding) bool { return h.Broken != nil })
	if err != nil || len(all) != 3 || len(readable) != 1 || readable[0].Owner != custom("c") {
		t.Errorf("the records are %v, %v", all, err)
	}
}

// A key of a pod that went, which somebody had removed and the pod's agent still wrote
// again, goes with the others.
func TestLastRepairOfTheDead(t *testing.T) {
	w := newWorld(t)
	a := claim(pod("a", "n1"), "vnf1", "1=a", "2=a", "3=a")
	w.put(t, a, nil)
	if _, err := w.client.Delete(t.Context(), a.Items[2].Key); err != nil {
		t.Fatal(err)
	}
	b := claim(pod("b", "n2"), "vnf1", "1=b")
	written := w.put(t, b, func(ctx context.Context, _ store.Owner) (bool, error) {
		_, err := w.store.Mend(ctx, a, nil) // after it was looked what there is
		return false, err
	})
	if same, err := w.store.Unchanged(t.Context(), []store.Mark{written.Mark}); err != nil || !same {
		t.Errorf("what was just written is not as it was: %v", err)
	}
	if diff := cmp.Diff(values(b), w.config(t, "vnf1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
