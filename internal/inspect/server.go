// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Bounds of the server: whoever holds the socket open costs no more than this.
const (
	maxConnections = 16
	maxHeaderBytes = 8 << 10
	requestTimeout = 10 * time.Second
)

// Server shows a View.
type Server struct {
	view View
	log  *slog.Logger
}

// NewServer makes a server that runs once Serve is called.
func NewServer(view View, log *slog.Logger) *Server { return &Server{view: view, log: log} }

// Serve answers on the listener until ctx ends, and closes it. At most 16
// connections are served at a time; others wait to be accepted.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       requestTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(limit(listener)) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		err := server.Close()
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/interfaces", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, sorted(s.view.Interfaces(r.Context())))
	})
	mux.HandleFunc("GET /v1/services", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, whole(s.view.Services()))
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		status := s.view.Status()
		if status.Problems == nil {
			status.Problems = []Problem{}
		}
		s.answer(w, r, status)
	})
	mux.HandleFunc("GET /v1/plan", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if _, err := io.WriteString(w, s.view.Plan().String()); err != nil {
			s.gone(r, err)
		}
	})
	return mux
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		s.gone(r, err)
	}
}

func (s *Server) gone(r *http.Request, err error) {
	s.log.DebugContext(r.Context(), "inspect: answer not delivered",
		slog.String("path", r.URL.Path), slog.Any("error", err))
}

// sorted orders a copy by namespace and pod, keeping each pod's interfaces in
// the view's order, and turns nil lists into empty ones.
func sorted(interfaces []Interface) []Interface {
	list := append([]Interface{}, interfaces...)
	slices.SortStableFunc(list, func(a, b Interface) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	for i := range list {
		if list[i].IPs == nil {
			list[i].IPs = []netip.Prefix{}
		}
	}
	return list
}
