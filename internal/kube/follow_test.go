// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/polynic/polynic/internal/kube/fake"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// started is a fake with one pod, which is followed.
func started(t *testing.T) (*fake.Server, *cluster, *recorder) {
	t.Helper()
	s := fake.New(t)
	c := newCluster(t, s.Kubeconfig())
	c.pod("a", "here", "1")
	r := follow(t, c.client())
	r.await(t, `listed ["a 1"]`)
	return s, c, r
}

const (
	lists   = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dhere&resourceVersion"
	watches = "GET /api/v1/pods?allowWatchBookmarks=true&fieldSelector=spec.nodeName%3Dhere"
)

// A connection that is lost is taken up where it was, without listing.
func TestConnectionIsLost(t *testing.T) {
	s, c, r := started(t)
	for _, wish := range []string{"2", "3", "4"} {
		s.Cut()
		c.wish("a", wish)
		r.await(t, "put a "+wish)
	}
	want := []string{`listed ["a 1"]`, "put a 2", "put a 3", "put a 4"}
	if diff := cmp.Diff(want, r.told()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if n := len(s.Requests(lists)); n != 1 {
		t.Errorf("%d lists", n)
	}
}

// What the API server does not remember is listed, once, and as new as what was
// told before.
func TestVersionIsForgotten(t *testing.T) {
	s, c, r := started(t)
	c.wish("a", "2")
	r.await(t, "put a 2")
	c.pod("other", "there", "1")
	s.Forget()
	r.await(t, `listed ["a 2"]`)
	c.wish("a", "3")
	r.await(t, "put a 3")
	asked := s.Requests(lists)
	if len(asked) != 2 || strings.Contains(asked[1], "resourceVersion=0") || !strings.Contains(asked[1], "NotOlderThan") {
		t.Errorf("lists: %q", asked)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.lines, "reached not") {
		t.Errorf("an API server that forgets was said to be away: %q", r.lines)
	}
}

// A store whose versions begin again is listed as it is.
func TestStoreIsRestored(t *testing.T) {
	s, c, r := started(t)
	for _, wish := range []string{"2", "3"} {
		c.wish("a", wish)
		r.await(t, "put a "+wish)
	}
	s.Restore()
	r.await(t, `listed ["a 3"]`)
	c.wish("a", "4")
	r.await(t, "put a 4")
}

// A bookmark spares the list that would be needed for what is too old.
func TestBookmarks(t *testing.T) {
	s, c, r := started(t)
	c.wish("a", "2")
	r.await(t, "put a 2")
	c.pod("other", "there", "1")
	s.Bookmark()
	s.Forget()
	c.wish("a", "3")
	r.await(t, "put a 3")
	if n := len(s.Requests(lists)); n != 1 {
		t.Errorf("%d lists", n)
	}
}

// One that forgets what it has just listed is not listed again and again at once.
func TestForgettingIsNoStorm(t *testing.T) {
	s, _, _ := started(t)
	s.RememberNothing()
	began := waitForRequests(t, s, lists, 1+3)
	// Each attempt to watch fails, after a pause of at least half of 0.25, 0.5 and 1 s.
	if took := time.Since(began); took < 875*time.Millisecond {
		t.Errorf("3 lists in %s", took)
	}
}

// waitForRequests waits until so many were made, and gives when it began.
func waitForRequests(t *testing.T, s *fake.Server, prefix string, count int) time.Time {
	t.Helper()
	began := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for len(s.Requests(prefix)) < count {
		<-ticker.C
		if time.Since(began) > limit {
			t.Fatalf("%q was not asked %d times", prefix, count)
		}
	}
	return began
}

// An API server that refuses is asked again, more and more seldom.
func TestRefusalIsNoStorm(t *testing.T) {
	s, c, r := started(t)
	s.Refuse()
	s.Cut()
	began := waitForRequests(t, s, watches, len(s.Requests(watches))+4)
	// The three pauses are at least half of 0.25, 0.5 and 1 s.
	if took := time.Since(began); took < 875*time.Millisecond {
		t.Errorf("4 attempts in %s", took)
	}
	s.Accept()
	c.wish("a", "2")
	r.await(t, "put a 2")
}
