// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Cut ends every watch that runs, in the midst of a word.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	s.tell()
}

// Forget has the server remember nothing of what happened before now: watches from
// an earlier version are refused (410 Gone). Those that run are cut.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.history = s.version, nil
	s.cuts++
	s.tell()
}

// RememberNothing is Forget for ever: no version is known to a watch, not even the
// one of a list that was just made.
func (s *Server) RememberNothing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = math.MaxInt
	s.cuts++
	s.tell()
}

// Restore has the server's versions begin again, as after a backup of its store
// was put back; watches that run are cut.
func (s *Server) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.known, s.marked, s.history = 1, 0, 0, nil
	s.cuts++
	s.tell()
}

// Bookmark tells every watch that runs of the version that there is by now.
func (s *Server) Bookmark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.marked = s.version
	s.tell()
}

// Hold has watches tell nothing, as through a slow network, until Release.
func (s *Server) Hold() { s.setHeld(true) }

// Release ends Hold.
func (s *Server) Release() { s.setHeld(false) }

func (s *Server) setHeld(to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = to
	s.tell()
}

// tell wakes the watches; the caller holds s.mu.
func (s *Server) tell() {
	close(s.news)
	s.news = make(chan struct{})
}

// stream is one watch.
type stream struct {
	*Server
	w        http.ResponseWriter
	resource string
	selector selection
	form     form

	from   int // the version of what was told last
	marked int // and of the bookmark; that of a watch without bookmarks is none
	cuts   int // as they were when it began
}

// watch streams the changes of a resource after a version.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, resource string) {
	query := r.URL.Query()
	from, _ := strconv.Atoi(query.Get("resourceVersion"))
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	end := time.After(time.Duration(seconds) * time.Second)
	w.Header().Set("Content-Type", "application/json")
	s.mu.Lock()
	f := &stream{
		Server: s, w: w, resource: resource, selector: selectionOf(query), form: formOf(r),
		from: from, marked: s.marked, cuts: s.cuts,
	}
	now, known := s.version, s.known
	s.mu.Unlock()
	if query.Get("allowWatchBookmarks") != "true" {
		f.marked = math.MaxInt
	}
	switch {
	case from < known:
		f.write("ERROR", failure(http.StatusGone, "Expired", "too old resource version"))
		return
	case from > now:
		answer(w, tooLarge(query.Get("resourceVersion"), now))
		return
	}
	for {
		news, goesOn := f.advance()
		if !goesOn {
			return
		}
		select {
		case <-news:
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// advance tells what has happened, and reports whether the watch goes on, when news
// is closed.
func (f *stream) advance() (news chan struct{}, goesOn bool) {
	f.mu.Lock()
	news, marked, cut := f.news, f.Server.marked, f.Server.cuts != f.cuts
	var changes []change
	for _, c := range f.history {
		if c.version > f.from && c.resource == f.resource && !f.held {
			changes = append(changes, c)
		}
	}
	if f.held {
		marked = 0
	}
	f.mu.Unlock()
	for _, c := range changes {
		f.from = c.version
		if kind, o := c.seen(f.selector); kind != "" {
			f.write(kind, o.shown(f.form))
		}
	}
	if marked > f.marked {
		f.marked, f.from = marked, max(f.from, marked)
		mark := object{"apiVersion": groupOf(f.resource), "kind": kindOf(f.resource), "metadata": object{"resourceVersion": strconv.Itoa(f.from)}}
		f.write("BOOKMARK", mark.shown(f.form))
	}
	if cut {
		_, _ = f.w.Write([]byte(`{"type": "MODI`))
		return nil, false
	}
	if w, ok := f.w.(http.Flusher); ok {
		w.Flush()
	}
	return news, true
}

func (f *stream) write(kind string, o object) {
	_ = json.NewEncoder(f.w).Encode(object{"type": kind, "object": o})
}

// seen is how a watch with a selector sees a change: an object that begins to
// match is new to it, and one that ceases to is gone.
func (c change) seen(selector selection) (string, object) {
	switch before, after := c.before.matches(selector), c.after.matches(selector); {
	case before && after:
		return "MODIFIED", c.after
	case after:
		return "ADDED", c.after
	case before && c.after == nil:
		return "DELETED", c.before
	case before:
		return "DELETED", c.after
	default:
		return "", nil
	}
}
