// SPDX-FileCopyrightText: The polynic authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/polynic/polynic/internal/unixsock"
)

// maxAnswer bounds what a client reads, in bytes: some 100,000 interfaces.
const maxAnswer = 64 << 20

// ErrAway means that no agent answers at the socket.
var ErrAway = errors.New("the agent does not answer")

// Client asks an agent. It holds no connection and is safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient makes a client of the agent whose inspect socket is at the path.
func NewClient(socket string) *Client {
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return unixsock.Dial(ctx, socket)
		},
	}}}
}

// Interfaces lists the pod interfaces of the node, ordered by namespace, pod,
// and within the pod as the pod asked for them. It is never nil.
func (c *Client) Interfaces(ctx context.Context) ([]Interface, error) {
	list := []Interface{}
	err := c.get(ctx, "/v1/interfaces", func(body io.Reader) error { return json.NewDecoder(body).Decode(&list) })
	return list, err
}

// Services lists the services that the node knows, by namespace and name. It is
// never nil.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	list := []Service{}
	err := c.get(ctx, "/v1/services", func(body io.Reader) error { return json.NewDecoder(body).Decode(&list) })
	return list, err
}

// Plan is the text of what the node should have, one object a line.
func (c *Client) Plan(ctx context.Context) (string, error) {
	var text strings.Builder
	err := c.get(ctx, "/v1/plan", func(body io.Reader) error {
		_, err := io.Copy(&text, body)
		return err
	})
	return text.String(), err
}

// Status is how the agent fares; the error wraps ErrAway where none answers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	err := c.get(ctx, "/v1/status", func(body io.Reader) error { return json.NewDecoder(body).Decode(&status) })
	return status, err
}

// away says why nobody answered, less the layers of the error that only repeat
// the path.
func (c *Client) away(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: its socket %s is root's: run this with sudo", ErrAway, c.socket)
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return fmt.Errorf("%w at %s: %w", ErrAway, c.socket, err)
}

func (c *Client) get(ctx context.Context, path string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the agent for %s: %w", path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.away(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the agent at %s for %s: %s", c.socket, path, response.Status)
	}
	if err := read(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return fmt.Errorf("answer of the agent at %s to %s: %w", c.socket, path, err)
	}
	return nil
}
