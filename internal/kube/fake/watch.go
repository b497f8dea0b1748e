// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
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

// watch streams the changes of a resource after a version.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, resource string) {
	query := r.URL.Query()
	from, _ := strconv.Atoi(query.Get("resourceVersion"))
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	end := time.After(time.Duration(seconds) * time.Second)
	w.Header().Set("Content-Type", "application/json")
	write := func(kind string, o object) {
		_ = json.NewEncoder(w).Encode(object{"type": kind, "object": o})
	}
	s.mu.Lock()
	began, cuts, now, known := s.marked, s.cuts, s.version, s.known
	s.mu.Unlock()
	switch {
	case from < known:
		write("ERROR", failure(http.StatusGone, "Expired", "too old resource version"))
		return
	case from > now:
		answer(w, tooLarge(query.Get("resourceVersion"), now))
		return
	}
	for {
		s.mu.Lock()
		news, marked, cut := s.news, s.marked, s.cuts != cuts
		if s.held {
			marked = began
		}
		var changes []change
		for _, c := range s.history {
			if c.version > from && c.resource == resource && !s.held {
				changes = append(changes, c)
			}
		}
		s.mu.Unlock()
		for _, c := range changes {
			from = c.version
			if kind, o := c.seen(query.Get("fieldSelector")); kind != "" {
				write(kind, o.shown(metadataOnly(r)))
			}
		}
		if marked > began && query.Get("allowWatchBookmarks") == "true" {
			began, from = marked, max(from, marked)
			mark := object{"apiVersion": "v1", "kind": kindOf(resource), "metadata": object{"resourceVersion": strconv.Itoa(from)}}
			write("BOOKMARK", mark.shown(metadataOnly(r)))
		}
		if cut {
			_, _ = w.Write([]byte(`{"type": "MODI`))
			return
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
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

// seen is how a watch with a selector sees a change: an object that begins to
// match is new to it, and one that ceases to is gone.
func (c change) seen(selector string) (string, object) {
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
