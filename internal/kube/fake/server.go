// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

// Package fake is an API server for tests: pods, nodes, events, services and
// endpoint slices over HTTP, in
// JSON, with the list and watch contract of the real one (Kubernetes API concepts,
// "Efficient detection of changes"), and with its faults at command. What it
// promises is what package apitest checks of it and of the real one.
package fake

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/polynic/polynic/test/port"
)

// Server is an API server that listens on loopback. All methods may be called
// concurrently.
type Server struct {
	t       testing.TB
	address string

	mu       sync.Mutex
	http     *http.Server // nil while it is away
	served   sync.WaitGroup
	version  int
	objects  map[string]object // by path
	history  []change
	known    int           // the version that watches can begin at, at the earliest
	news     chan struct{} // closed and replaced when anything happens
	cuts     int           // how often watches were cut
	marked   int           // the version of the last bookmark
	refusing bool
	stalled  chan struct{} // where set, nothing is answered before it is closed
	held     bool
	requests []string
}

// New starts a server that has nothing. It ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, address: port.Keep(t), objects: map[string]object{}, news: make(chan struct{}), version: 1}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start has the server listen again, at the address that it had.
func (s *Server) Start() {
	s.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(s.t.Context(), "tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: s} //nolint:gosec // for tests, on loopback
	s.mu.Lock()
	s.address, s.http = listener.Addr().String(), server
	s.mu.Unlock()
	s.served.Go(func() { _ = server.Serve(listener) })
}

// Stop has the server end at once, as when it is killed; what it has stays.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	s.Cut()
	s.served.Wait()
}

// Kubeconfig writes a kubeconfig file, and gives its path.
func (s *Server) Kubeconfig() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "fake",
"clusters": [{"name": "fake", "cluster": {"server": "http://` + s.address + `"}}],
"contexts": [{"name": "fake", "context": {"cluster": "fake", "user": ""}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Put makes an object, or replaces it, as somebody else would:
// "namespaces/default/pods/web". It gives the object its UID and its version.
func (s *Server) Put(path string, o any) {
	s.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	made := object{}
	if err := json.Unmarshal(text, &made); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(path, made)
}

// Remove ends an object, as somebody else would.
func (s *Server) Remove(path string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[path] == nil {
		s.t.Fatalf("no %s is there", path)
	}
	s.remove(path)
}

// Requests lists what was asked so far that begins so: METHOD PATH?QUERY.
func (s *Server) Requests(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.requests {
		if strings.HasPrefix(r, prefix) {
			list = append(list, r)
		}
	}
	return list
}

// Refuse has the server answer everything with 503, until Accept.
func (s *Server) Refuse() { s.setRefusing(true) }

// Accept ends Refuse.
func (s *Server) Accept() { s.setRefusing(false) }

// Stall has the server take requests and not answer them, until Resume.
func (s *Server) Stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = make(chan struct{})
}

// Resume ends Stall.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stalled)
	s.stalled = nil
}

func (s *Server) setRefusing(to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing = to
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	refusing, stalled := s.refusing, s.stalled
	s.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-r.Context().Done():
			return
		}
	}
	if refusing {
		answer(w, failure(http.StatusServiceUnavailable, "ServiceUnavailable", "not now"))
		return
	}
	path, isCore := strings.CutPrefix(r.URL.Path, "/api/v1/")
	path, isDiscovery := strings.CutPrefix(path, "/apis/"+discovery+"/")
	if !isCore && !isDiscovery {
		answer(w, failure(http.StatusNotFound, "NotFound", "no such API"))
		return
	}
	switch query := r.URL.Query(); {
	case r.Method == http.MethodGet && query.Get("watch") == "true":
		s.watch(w, r, path)
	case r.Method == http.MethodGet && isCollection(path):
		answer(w, s.list(path, query, formOf(r)))
	default:
		answer(w, s.one(r, path))
	}
}

// isCollection reports whether a path is of all objects of a resource.
func isCollection(path string) bool {
	parts := strings.Split(path, "/")
	return len(parts)%2 == 1
}

func answer(w http.ResponseWriter, o object) {
	w.Header().Set("Content-Type", "application/json")
	if o["kind"] == "Status" {
		if code, ok := o["code"].(int); ok {
			w.WriteHeader(code)
		}
	}
	_ = json.NewEncoder(w).Encode(o)
}
