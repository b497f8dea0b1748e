// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/polynic/polynic/internal/lab"
	"github.com/polynic/polynic/internal/unixsock"
)

const (
	headerTimeout = 10 * time.Second
	maxRequest    = 64 << 20 // bytes
)

// server answers requests.
type server struct {
	*Daemon
	// gate is held for reading by requests that work on pods, and for writing
	// by the one that takes the lab down.
	gate sync.RWMutex
	// stopWork ends the context of the requests that work on pods: what is on
	// its way is then removed.
	stopWork context.CancelFunc
	once     sync.Once // guards isDown, which is closed once the lab is down
	isDown   chan struct{}
}

// serve answers requests until ctx ends, or one of them has taken the lab
// down.
func (d *Daemon) serve(ctx context.Context) error {
	listener, err := unixsock.Listen(ctx, d.Dir.Socket(), 0o600)
	if err != nil {
		d.tellStart(lab.Event{Kind: lab.Failed, Text: err.Error()})
		return errors.Join(err, d.Events.Close())
	}
	work, stopWork := context.WithCancel(ctx)
	defer stopWork()
	s := &server{Daemon: d, stopWork: stopWork, isDown: make(chan struct{})}
	web := &http.Server{
		Handler:           s.handler(work),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	d.tellStart(lab.Event{Kind: lab.Finished})
	if err := d.Events.Close(); err != nil {
		d.Log.WarnContext(ctx, "events of the start", slog.Any("error", err))
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	case <-s.isDown:
	}
	stopWork()
	err = web.Shutdown(context.WithoutCancel(ctx)) // waits for the requests
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// handler serves the requests; those that work on pods end with the context.
func (s *server) handler(work context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lab.ApplyPath, onPods(work, s, s.apply))
	mux.HandleFunc("POST "+lab.DeletePath, onPods(work, s, s.remove))
	mux.HandleFunc("POST "+lab.DownPath, func(w http.ResponseWriter, r *http.Request) {
		s.stopWork()
		s.gate.Lock()
		defer s.gate.Unlock()
		s.once.Do(func() { //nolint:contextcheck // it has the request's
			stream(w, func(tell func(lab.Event)) { s.down(r.Context(), tell) })
			close(s.isDown)
		})
	})
	return mux
}

// onPods serves a request that works on pods. It is over when its client goes
// away, or with work.
func onPods[T any](work context.Context, s *server, verb func(context.Context, T, func(lab.Event))) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { //nolint:contextcheck // it has the request's
		var request T
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.gate.RLock()
		defer s.gate.RUnlock()
		if work.Err() != nil {
			http.Error(w, "the lab is being taken down", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(work, cancel)()
		stream(w, func(tell func(lab.Event)) { verb(ctx, request, tell) })
	}
}

// stream sends events as they come, and one more at the end. A client that
// went away is no error: the request's context tells of it.
func stream(w http.ResponseWriter, work func(tell func(lab.Event))) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	controller := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	var mu sync.Mutex
	tell := func(e lab.Event) {
		mu.Lock()
		defer mu.Unlock()
		if encoder.Encode(e) == nil {
			_ = controller.Flush() // see above
		}
	}
	work(tell)
	tell(lab.Event{Kind: lab.Finished})
}
