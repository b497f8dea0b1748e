// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/polynic/polynic/internal/lab/state"
	"github.com/polynic/polynic/internal/unixsock"
)

// Apply brings pods into being and returns once all of them are wired and
// run. Every event is told; the error wraps ErrRefused where a pod was refused.
// When ctx ends, pods that were on their way are removed again.
func Apply(ctx context.Context, stateDir string, request ApplyRequest, tell func(Event)) error {
	return ask(ctx, stateDir, ApplyPath, request, tell)
}

// Delete removes pods, and returns once nothing of them is left.
func Delete(ctx context.Context, stateDir string, request DeleteRequest, tell func(Event)) error {
	return ask(ctx, stateDir, DeletePath, request, tell)
}

func ask(ctx context.Context, stateDir, path string, request any, tell func(Event)) error {
	dir, err := open(stateDir)
	if err != nil {
		return err
	}
	return post(ctx, dir, path, request, tell)
}

// post sends a request to the daemon and tells every event of the answer.
func post(ctx context.Context, dir state.Dir, path string, request any, tell func(Event)) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("request to the lab: %w", err)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return unixsock.Dial(ctx, dir.Socket())
		},
	}}
	httpRequest, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://lab"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("request to the lab: %w", err)
	}
	response, err := client.Do(httpRequest)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		var request *url.Error // says nothing that a user would understand
		if errors.As(err, &request) {
			err = request.Err
		}
		return fmt.Errorf("%w: its background process does not answer (%w); `polynic lab up --state %s` starts it again",
			ErrNotRunning, err, dir)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // the status says enough
		return fmt.Errorf("the lab answers %s: %s", response.Status, bytes.TrimSpace(text))
	}
	return readEvents(ctx, response.Body, tell)
}

// readEvents tells the events of a stream to its end.
func readEvents(ctx context.Context, stream io.Reader, tell func(Event)) error {
	events := json.NewDecoder(stream)
	refused := false
	for {
		var e Event
		switch err := events.Decode(&e); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%w: its background process ended before it was done", ErrNotRunning)
		case err != nil:
			return fmt.Errorf("answer of the lab: %w", err)
		}
		switch e.Kind {
		case Finished:
			if refused {
				return ErrRefused
			}
			return nil
		case Failed:
			refused = true
		case Progress, Done:
		}
		tell(e)
	}
}
